"""Whatever goes wrong in a run is recorded in the run before anybody else hears of it.

Mistakes that speak to the person pass through; anything else becomes a RunError that says what
broke and keeps the original as its cause, with the traceback in the run folder.
"""

from __future__ import annotations

import traceback
from types import TracebackType

from studio.errors import RunError, Stopped, StudioError
from studio.files import write_text_safely
from studio.runs import Run
from studio.training.reporter import StateReporter

TRACEBACK_FILE = "traceback.txt"
_MEMORY_HINT = ("Lower training.batch_size or data.max_length, turn training."
                "gradient_checkpointing on, or set model.quantization to 4bit.")


_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory: you tried", "backend out of memory")
"""torch's words on Linux and macOS, on Windows, and on Apple's GPU."""


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
        told = error if isinstance(error, StudioError) else self._explained(error)
        self._run.append("error", message=told.message, hint=told.hint)
        self._states.enter("failed")
        if told is not error:
            raise told from error

    def _explained(self, error: Exception) -> RunError:
        write_text_safely(self._run.path / TRACEBACK_FILE,
                          "".join(traceback.format_exception(error)))
        if is_out_of_memory(error):
            return RunError("The memory was not enough for a training step.", _MEMORY_HINT)
        lines = str(error).strip().splitlines() or ["no message"]
        return RunError(f"The training broke with {type(error).__name__}: {lines[0]}",
                        f"The run folder holds the details in {TRACEBACK_FILE}.")


def is_out_of_memory(error: BaseException) -> bool:
    """True for the ways in which torch and Python say that memory ran out."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
