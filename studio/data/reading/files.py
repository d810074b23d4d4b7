"""Files and folders of this PC as a source: which files, in which order, and unchanged meanwhile.

How a file is read is chosen by its ending in `endings.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from studio.data.reading.allowed import leads_out, require_allowed
from studio.data.reading.blocks import Block, note
from studio.data.reading.endings import (
    READABLE,
    TEXTS,
    ending_of,
    file_blocks,
    is_readable,
    require_readable,
)
from studio.data.reading.opened import DataFile
from studio.data.records import Problem
from studio.errors import DataError, Stopped
from studio.progress import ShouldStop
from studio.settings import Settings

_MOST_FILES = 10_000
# What `datasets` and the studio itself write beside data; none of it is a record.
_BESIDE = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")
_RECORD = ".record.json"
_NAMES_SHOWN = 8

_Size = tuple[int, int]


@dataclass(frozen=True)
class Files:
    """One file, or the data files of a folder. `sizes` are (bytes, time of change in ns).

    `whole`: every text file is one record, instead of its paragraphs.
    """

    paths: tuple[Path, ...]
    sizes: tuple[_Size, ...]
    split: str
    folder: Path | None = None
    notes: tuple[Problem, ...] = ()
    whole: bool = False

    unit = "bytes"

    @property
    def total(self) -> int:
        return sum(size for size, _ in self.sizes)

    @property
    def identity(self) -> list[object]:
        """Changes when the content may have changed."""
        files = [[str(path.resolve()), *size]
                 for path, size in zip(self.paths, self.sizes, strict=True)]
        return [*files, self.split, *(["whole"] if self.whole else [])]

    def blocks(self, stop: ShouldStop, first_page: bool) -> Iterator[Block]:
        """Every record of every file. Raises DataError, also where a file changes meanwhile."""
        yield from (note(problem, 0) for problem in self.notes)
        start = 0
        for path, size in zip(self.paths, self.sizes, strict=True):
            prefix = f"{path.name} " if self.folder else ""
            for block in _unchanged(DataFile(path, prefix, start), size, self.split,
                                    self.whole):
                if stop():
                    raise Stopped("Reading the data was stopped.")
                yield block
            start += size[0]


def local_files(path: Path, settings: Settings, split: str, *, whole: bool = False) -> Files:
    """The file, or what is data in the folder; `whole` as in `Files`. Raises DataError where that
    is nothing."""
    kind = kind_of(path)
    if kind == "missing":
        raise DataError(f"There is no data file {str(path)[:300]!r}.", _nearest_file(path))
    try:
        require_allowed(path, settings)
        if kind == "folder":
            return replace(_folder(path, settings, split), whole=whole)
        require_readable(path)
        return Files((path,), (_size(path),), split, whole=whole)
    except OSError as error:
        raise _unreadable(path, error) from error


def kind_of(path: Path) -> Literal["file", "folder", "missing"]:
    """Whatever exists and is no folder counts as a file, devices as well."""
    try:
        if path.is_dir():
            return "folder"
        return "file" if path.exists() else "missing"
    except (OSError, ValueError):  # a name that is too long for the file system, or has a \\0
        return "missing"


def _unchanged(file: DataFile, size: _Size, split: str, whole: bool) -> Iterator[Block]:
    """The blocks of one file, which must be the same file before, meanwhile and after."""
    try:
        _require_unchanged(file.path, size)
        try:
            yield from file_blocks(file, split, whole=whole)
        except DataError:
            _require_unchanged(file.path, size)  # the likelier reason for what could not be read
            raise
        _require_unchanged(file.path, size)
    except OSError as error:
        raise _unreadable(file.path, error) from error


def _require_unchanged(path: Path, size: _Size) -> None:
    if not path.exists() or _size(path) != size:
        raise DataError(
            f"{path.name} changed while it was read, so what was read belongs to no one state "
            "of it.", "Wait until whatever writes it is done, and read it again.")


def _size(path: Path) -> _Size:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path.name} cannot be read: {error.strerror or error}.",
                     "Check that it may be opened and that its disk is there.")


def _folder(folder: Path, settings: Settings, split: str) -> Files:
    paths: list[Path] = []
    outside: list[str] = []
    other: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_dir():
            continue
        if leads_out(path, folder):
            outside.append(path.name)
        elif path.is_file() and is_readable(path) and not _stands_beside(path):
            paths.append(path)
        else:
            other.append(path.name)
    tables = [path for path in paths if ending_of(path) not in TEXTS]
    if tables:  # a README beside the data is no example
        other += [path.name for path in paths if ending_of(path) in TEXTS]
        paths = tables
    _require_some(paths, folder, outside)
    for path in paths:
        require_allowed(path, settings)
    return Files(tuple(paths), tuple(map(_size, paths)), split, folder, _notes(outside, other))


def _stands_beside(path: Path) -> bool:
    return path.name in _BESIDE or path.name.endswith(_RECORD)


def _require_some(paths: list[Path], folder: Path, outside: list[str]) -> None:
    if len(paths) > _MOST_FILES:
        raise DataError(f"{folder} holds {len(paths):,} data files; at most {_MOST_FILES:,} are "
                        "read as one set.", "Join them, or choose a smaller folder.")
    if paths:
        return
    if outside:
        raise DataError(f"{folder} holds only links that lead out of it: {_listed(outside)}.",
                        "Give the folder that they lead to, or copy the files into this one.")
    below = sorted(inner.name for inner in folder.iterdir()
                   if inner.is_dir() and any(map(is_readable, inner.iterdir())))
    raise DataError(
        f"{folder} is a folder without data files.",
        f"Choose one of its folders: {_listed(below)}." if below else
        f"Choose a folder with files that end in {', '.join(READABLE)}.")


def _notes(outside: list[str], other: list[str]) -> tuple[Problem, ...]:
    notes = []
    if outside:
        notes.append(Problem(
            f"{len(outside)} links that lead out of the folder were not followed: "
            f"{_listed(outside)}.", "", "Copy the files into the folder if they belong to it.",
            "not_read"))
    if other:
        notes.append(Problem(
            f"{len(other)} other files of the folder were not read as data: {_listed(other)}.", "",
            "Give a file by its own path to read it.", "not_read"))
    return tuple(notes)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _nearest_file(path: Path) -> str:
    try:
        names = sorted(item.name for item in path.parent.iterdir()
                       if item.is_dir() or is_readable(item))
    except (OSError, ValueError):
        return f"The folder {path.parent} does not exist either."[:400]
    near = difflib.get_close_matches(path.name, names, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    return "Check the path" + (f"; there are {_listed(names)}." if names else ".")
