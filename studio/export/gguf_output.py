"""Rules that every GGUF file follows: its name, how it comes into place, the report beside it."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from studio.child import Child
from studio.errors import BusyError, DiskError, ExportError
from studio.export.output import end_if_stopped, works_everywhere, written_bytes
from studio.files import PARTIAL
from studio.models.gguf_file import ENDING
from studio.progress import Progress, ShouldStop, Step

_DISK_IS_FULL = f"[Errno {errno.ENOSPC}]"


def require_gguf_name(output: Path) -> None:
    """Raise ExportError unless `output` is a file name for a GGUF that works on every PC."""
    if output.suffix != ENDING or works_everywhere(output.name) != output.name:
        raise ExportError(f"{output.name!r} is not a file name for a GGUF that works on every PC.",
                          f"Use {works_everywhere(output.stem) + ENDING!r}.")


@dataclass(frozen=True)
class Growth:
    """What a process that writes files is doing, and how much they will weigh together."""

    what: str
    total_bytes: int


@contextmanager
def gguf_written_whole(output: Path) -> Iterator[Path]:
    """Gives a path beside `output` for another program to write to; renamed if the block ends well.

    On an error nothing is left under either name.
    """
    with passing_file(output) as beside:
        yield beside
        try:
            beside.replace(output)
        except PermissionError as error:  # Windows, while a program reads the earlier file
            raise BusyError(f"{output.name} cannot be replaced: {error.strerror}.",
                            "Close what uses it, such as a chat or a server.") from error


@contextmanager
def passing_file(near: Path) -> Iterator[Path]:
    """Gives a free path in the folder of `near`; what was written to it is deleted afterwards."""
    near.parent.mkdir(parents=True, exist_ok=True)
    beside = near.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}-{near.name}")
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def run_writer(arguments: list[str], files: list[Path], growth: Growth, progress: Progress,
               stop: ShouldStop) -> Child:
    """Run Python with `arguments`, which writes `files`, to its end, and report how they grow.

    Gives the ended process, whether it succeeded or not. Raises DiskError where the disk filled up,
    ExportError where memory ran out, Stopped.
    """
    with Child(arguments, cwd=files[0].parent) as child:
        while not child.has_ended():
            end_if_stopped(stop)
            written = sum(map(written_bytes, files))
            if written:
                progress(Step(growth.what, min(written, growth.total_bytes), growth.total_bytes,
                              "bytes"))
    if not child.has_succeeded and _DISK_IS_FULL in child.said:
        raise DiskError(f"The disk filled up at {files[0].parent}.",
                        "Free some space there, or start the studio with --home on a larger disk.")
    if child.was_killed:
        raise ExportError("The system ended the work, most likely since memory ran out.",
                          "Close other programs, or choose a smaller model.")
    return child
