"""Finds what `data.source` means (starter, file, or Hub id) and reads it into Records.

Every record counts, the unreadable ones as well; one bad line never spoils the rest. Does not
look at what the columns mean; `formats.py` does.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Literal

from studio.data.csv_files import read_csv
from studio.data.json_files import read_json, read_jsonl
from studio.data.records import Problem, Records
from studio.data.tables import read_hub, read_parquet
from studio.data.text_files import Tick, open_text, read_text
from studio.errors import DataError, Stopped
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe.fields import STARTER
from studio.settings import Settings

__all__ = ["Problem", "Records", "read_records", "starter_files"]

READABLE = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".md")
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+|[A-Za-z0-9][\w-]*)(:[\w.-]+)?")
_LINES = (".jsonl", ".ndjson")
_TICKS_PER_REPORT = 500
_HEAD_CHARACTERS = 1000


class NothingReadable(DataError):
    """Not one record is intact; `records` still says what was wrong with each."""

    def __init__(self, message: str, records: Records) -> None:
        super().__init__(message, records.problems[0].hint if records.problems else "")
        self.records = records


def starter_files() -> tuple[Path, Path]:
    """(training, held-out) files of the task that comes with the studio."""
    folder = Path(__file__).resolve().parents[2] / "assets" / "starter"
    return folder / "train.jsonl", folder / "heldout.jsonl"


def read_records(
    source: str, settings: Settings, *, split: str = "train", limit: int | None = None,
    progress: Progress = silent, stop: ShouldStop = never,
) -> Records:
    """Read "starter", a file, or a dataset of the Hub; at most `limit` rows.

    Raises DataError where there is nothing to read: missing, a folder, empty, no row intact.
    """
    if "://" in source:
        raise DataError(f"{source} is an address, not a file or a Hub id.",
                        "Download it and give the path, or give the id as owner/name.")
    if source == STARTER:
        return read_file(starter_files()[0], split=split, limit=limit, progress=progress, stop=stop)
    if _is_path(source):
        return read_file(_path(source), split=split, limit=limit, progress=progress, stop=stop)
    records = Records(name=source)
    read_hub(source, split, settings, records, _ticker(records, 0, limit, progress, stop))
    return _something(records)


def source_exists(source: str) -> bool:
    """Whether there is a file to report on; a folder, a missing file, or a Hub id is not one."""
    return source == STARTER or (_is_path(source) and _kind_of(_path(source)) == "file")


def file_stamp(source: str) -> tuple[int, ...]:
    """(time of change in ns, size in bytes) of a local file, empty for every other source."""
    if source == STARTER or not source_exists(source):
        return ()
    status = _path(source).stat()
    return status.st_mtime_ns, status.st_size


def read_file(
    path: Path, *, split: str = "train", limit: int | None = None, progress: Progress = silent,
    stop: ShouldStop = never,
) -> Records:
    """Read one local file by its ending. Raises DataError as `read_records` does."""
    _require_file(path)
    records = Records(name=path.name)
    tick = _ticker(records, path.stat().st_size, limit, progress, stop)
    try:
        _read_by_ending(path, records, tick, split)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}.",
                        "Check that the file may be opened and that its disk is there.") from error
    return _something(records)


def _read_by_ending(path: Path, records: Records, tick: Tick, split: str) -> None:
    suffix = path.suffix.lower()
    if suffix == ".json" or (suffix in _LINES and _begins_with_list(path)):
        read_json(path, records, tick, split)
    elif suffix in _LINES:
        read_jsonl(path, records, tick)
    elif suffix in (".csv", ".tsv"):
        read_csv(path, records, tick)
    elif suffix == ".parquet":
        read_parquet(path, records, tick)
    else:
        read_text(path, records, tick)


def _begins_with_list(path: Path) -> bool:
    """True for a JSON list under the name of a JSONL file: "[" alone or before its first object."""
    with open_text(path) as file:
        head = file.read(_HEAD_CHARACTERS)
    return re.match(r"\s*\[\s*(\{|$)", head) is not None


def _ticker(
    records: Records, total_bytes: int, limit: int | None, progress: Progress, stop: ShouldStop
) -> Tick:
    """Reports now and then, raises Stopped when asked to, and says when `limit` is reached."""
    read = 0
    calls = 0

    def tick(amount: int) -> bool:
        nonlocal read, calls
        read += amount
        calls += 1
        if calls % _TICKS_PER_REPORT == 0:
            if stop():
                raise Stopped("Reading the data was stopped.")
            progress(Step(f"Reading {records.name}", read, total_bytes or None,
                          "characters" if total_bytes else "rows"))
        return limit is not None and records.total_rows >= limit

    return tick


def _is_path(source: str) -> bool:
    """Hub ids look like relative paths; what exists or ends like a data file is a path."""
    path = _path(source)
    if path.suffix.lower() in READABLE or _kind_of(path) != "missing":
        return True
    return _HUB_ID.fullmatch(source) is None


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError:  # "~somebody" who has no home
        return Path(source)


def _kind_of(path: Path) -> Literal["file", "folder", "missing"]:
    try:
        if path.is_dir():
            return "folder"
        return "file" if path.is_file() else "missing"
    except OSError:  # a name that is too long for the file system
        return "missing"


def _require_file(path: Path) -> None:
    kind = _kind_of(path)
    if kind == "folder":
        raise DataError(f"{path} is a folder, not a file.", _files_in(path))
    if kind == "missing":
        raise DataError(f"There is no data file {str(path)[:300]!r}.", _nearest_file(path))
    if path.suffix.lower() not in READABLE:
        raise DataError(
            f"{path.name} ends in {path.suffix!r}, which is not read as data."
            if path.suffix else f"{path.name} has no ending that says what it holds.",
            f"Readable are {', '.join(READABLE)}.",
        )


def _data_files(folder: Path) -> list[str]:
    try:
        return sorted(item.name for item in folder.iterdir() if item.suffix.lower() in READABLE)
    except (OSError, ValueError):
        return []


def _files_in(folder: Path) -> str:
    names = _data_files(folder)
    if not names:
        return f"Choose a file; this folder holds none that ends in {', '.join(READABLE)}."
    return "Choose one of its files: " + ", ".join(names[:8]) + (", ..." if names[8:] else ".")


def _nearest_file(path: Path) -> str:
    names = _data_files(path.parent)
    near = difflib.get_close_matches(path.name, names, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    if _kind_of(path.parent) != "folder":
        return f"The folder {path.parent} does not exist either."
    return "Check the path" + (f"; there are {', '.join(names[:5])}." if names else ".")


def _something(records: Records) -> Records:
    """The records, or DataError where no row is intact."""
    if records.rows:
        return records
    if not records.total_rows:
        raise DataError(f"{records.name} is empty: it holds no record.",
                        "Choose another file, or write at least one record into it.")
    first = "; ".join(f"{problem.where}: {problem.what}" for problem in records.problems[:3])
    raise NothingReadable(
        f"None of the {records.total_rows} records of {records.name} can be read. {first}",
        records,
    )
