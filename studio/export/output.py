"""Rules for everything that is exported: nothing is overwritten by accident, growth is reported,
and every writer gives back the same.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.errors import ExportError, Stopped
from studio.files import folder_bytes, safe_name, typed_path, write_json_safely
from studio.progress import Progress, ShouldStop, Step

REPORT_FILE = "export.json"
"""Lies in every folder that the studio exported, and says how it was made."""
_LOOK_SECONDS = 0.3
_LONGEST_NAME = 200
"""Characters: systems take 255, and while it is written the name is longer."""


@dataclass(frozen=True)
class Written:
    """What a writer gives back: the folder or file, its size, how long it took, what to know."""

    path: Path
    bytes: int
    seconds: float
    notes: tuple[str, ...] = ()


def file_to_write(output: Path, overwrite: bool) -> Path:
    """`output`, absolute. Raises ExportError where it is taken; a folder is never replaced."""
    output = typed_path(output).absolute()
    _refuse_existing(output, overwrite)
    if output.is_dir():
        raise ExportError(f"{output} is a folder, and a file is to be written there.",
                          "Choose another name.")
    return output


def _refuse_existing(output: Path, overwrite: bool) -> None:
    if not overwrite and (output.exists() or output.is_symlink()):
        raise ExportError(f"{output} exists already.",
                          "Choose another name, or allow overwriting (--overwrite).")


def report_file(output: Path) -> Path:
    """Where the report of an export lies: in its folder, or beside its file."""
    return output / REPORT_FILE if output.is_dir() else output.with_name(f"{output.name}.json")


def read_report(output: Path) -> dict[str, Any]:
    """What the report of an export tells; nothing where there is none, or a damaged one."""
    try:
        told = json.loads(report_file(output).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def reported(output: Path, at: Path, started: float, notes: Iterable[str], facts: dict[str, Any]
             ) -> Written:
    """Write the report of what will be `output` and is complete in `at`: its folder under another
    name as yet, or the file itself. `started` is of time.monotonic()."""
    made = Written(output, written_bytes(at), time.monotonic() - started, tuple(notes))
    write_json_safely(report_file(at), {
        **facts, "bytes": made.bytes, "seconds": round(made.seconds, 3),
        "notes": list(made.notes)})
    return made if at.is_file() else replace(made, bytes=folder_bytes(at))


def folder_to_write(output: Path, overwrite: bool) -> Path:
    """`output`, absolute. Raises ExportError where it is taken, or no name for every PC; what the
    studio did not export is never replaced."""
    output = typed_path(output).absolute()
    if works_everywhere(output.name) != output.name:
        raise ExportError(f"{output.name!r} is not a name that works on every PC.",
                          f"Use {works_everywhere(output.name)!r}.")
    if output.is_dir() and not any(output.iterdir()):
        return output
    _refuse_existing(output, overwrite)
    if output.exists() and not (output / REPORT_FILE).is_file():
        raise ExportError(f"{output} is nothing that the studio exported, so it is not "
                          "overwritten.", "Choose another name.")
    return output


def works_everywhere(name: str) -> str:
    """`name`, or what to call it instead; the ending of a format may make it longer than a run's.
    """
    return safe_name(name, "model", longest=_LONGEST_NAME)


def end_if_stopped(stop: ShouldStop) -> None:
    """Raise Stopped once the person asked for it."""
    if stop():
        raise Stopped("The export was stopped.",
                      "Nothing was left behind; start it again any time.")


def written_bytes(path: Path) -> int:
    """Size of a file or folder that somebody is still writing; 0 before it is there."""
    if path.is_dir():
        return folder_bytes(path)
    return path.stat().st_size if path.exists() else 0


def report_bar(said: str, bar: re.Pattern[str], what: str, unit: str, progress: Progress) -> None:
    """Report how far the last progress bar is that another program `said`; the groups of `bar` are
    how much is done, and of how much."""
    for line in reversed(said.splitlines()):
        found = bar.match(line)
        if found:
            done, total = map(int, found.groups())
            progress(Step(what, done, total, unit))
            return


@contextmanager
def growth_reported(path: Path, total_bytes: int, what: str, progress: Progress) -> Iterator[None]:
    """Report how much of `path` is written while the block writes it in one long call."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_SECONDS):
            progress(Step(what, min(written_bytes(path), total_bytes), total_bytes, "bytes"))

    watcher = threading.Thread(target=look, name="export-growth", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress(Step(what, total_bytes, total_bytes, "bytes"))
