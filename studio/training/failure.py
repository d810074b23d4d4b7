"""Whatever goes wrong in a run is recorded in the run before anybody else hears of it.

Mistakes that speak to the person pass through; anything else becomes a StudioError that says what
broke and keeps the original as its cause, with the traceback in the run folder. A folder that has
gone or a disk that is full takes no record; whoever called `train` hears of it all the same.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

from studio.errors import DiskError, RunError, Stopped, StudioError
from studio.files import NO_ROOM, disk_error, write_text_safely
from studio.runs import Run, require_run_folder
from studio.training.out_of_memory import is_out_of_memory
from studio.training.reporter import StateReporter

TRACEBACK_FILE = "traceback.txt"
MEMORY_HINT = ("Lower training.batch_size or data.max_length, turn training."
                "gradient_checkpointing on, or set model.quantization to 4bit.")
_TORCH_WRITES_NO_MORE = ("inline_container.cc", "PytorchStreamWriter failed", "iostream error")
"""In torch's words when a file takes no more bytes; the reason is lost on the way."""


class RecordedFailures:
    """Inside the block every error ends as an `error` event, the state failed, a StudioError."""

    def __init__(self, run: Run, states: StateReporter) -> None:
        self._run = run
        self._states = states

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, Stopped):
            return
        told = self._told(error)
        try:
            self._run.append("error", message=told.message, hint=told.hint)
            self._states.enter("failed")
        except OSError as trouble:
            told = self._without_record(told, trouble)
        if told is not error:
            raise told from error

    def _told(self, error: Exception) -> StudioError:
        gone = _folder_gone(self._run)
        if gone is not None:
            return gone
        if isinstance(error, StudioError):
            return error
        full = full_disk(error, self._run.path, f"The run {self._run.name}")
        return full if full is not None else self._explained(error)

    def _explained(self, error: Exception) -> StudioError:
        try:
            write_text_safely(self._run.path / TRACEBACK_FILE,
                              "".join(traceback.format_exception(error)))
        except OSError as trouble:
            return self._without_record(_in_words(error, self._states.state), trouble)
        return _in_words(error, self._states.state)

    def _without_record(self, told: StudioError, trouble: OSError) -> StudioError:
        """`told` for a run that cannot take a note of it."""
        if isinstance(told, DiskError) or not self._run.path.is_dir():
            return told
        return RunError(told.message, f"{told.hint} The run folder holds no record of this: "
                                      f"{trouble.strerror or trouble}.".strip())


class FullDiskTold:
    """Inside the block a disk that takes no more is a DiskError about `what`."""

    def __init__(self, where: Path, what: str) -> None:
        self._where = where
        self._what = what

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        full = full_disk(error, self._where, self._what) if error is not None else None
        if full is not None:
            raise full from error


def full_disk(error: BaseException, where: Path, what: str) -> DiskError | None:
    """The DiskError about `what` if `error` comes from a disk that takes no more, else None.

    Also knows the errors in which torch and safetensors hide it.
    """
    if isinstance(error, OSError):
        return disk_error(error, where, what) if error.errno in NO_ROOM else None
    text = str(error)
    hidden = (isinstance(error, RuntimeError) and any(w in text for w in _TORCH_WRITES_NO_MORE)
              ) or (type(error).__name__ == "SafetensorError" and "I/O error" in text)
    return disk_error(OSError("the disk takes no more"), where, what) if hidden else None


def _folder_gone(run: Run) -> RunError | None:
    try:
        require_run_folder(run)
    except RunError as gone:
        return gone
    return None


def _in_words(error: Exception, state: str) -> RunError:
    if is_out_of_memory(error):
        what = "for a training step" if state == "training" else f"while {state}"
        return RunError(f"The memory was not enough {what}.", MEMORY_HINT)
    lines = str(error).strip().splitlines() or ["no message"]
    return RunError(f"The training broke with {type(error).__name__}: {lines[0]}",
                    f"The run folder holds the details in {TRACEBACK_FILE}.")
