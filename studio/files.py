"""Writing files so that a crash, a full disk, or a second program never leaves half of one.

Everything is written beside its final name, flushed to disk, and renamed into place.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from studio.errors import DiskError

PARTIAL = ".partial-"
"""Prefix of names that are still being written; a leftover one may be deleted."""

LEFTOVER_SECONDS = 3600
_SPARE = 1.1

_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
# Windows knows no quota for a person.
NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC), *_FORBIDDEN}
"""What the system says of a disk on which nothing more can be written."""

_WINDOWS_RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)),
                     *(f"lpt{n}" for n in range(1, 10))}


def typed_path(typed: str | Path) -> Path:
    """What a person typed as a path: "~" is the home folder, unless it is nobody's."""
    try:
        return Path(typed).expanduser()
    except RuntimeError:  # "~somebody" who has no home
        return Path(typed)


Stamp = tuple[int, int]
"""When a file last changed, in nanoseconds, and its bytes."""


def stamp_of(file: Path) -> Stamp | None:
    """Another one where what the file holds is another; None where there is none."""
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def write_text_safely(path: Path, text: str) -> None:
    """Replace `path` with UTF-8 `text`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json_safely(path: Path, value: Any) -> None:
    """Replace `path` with `value` as indented JSON, whole or not at all."""
    write_text_safely(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def file_written_whole(final: Path) -> Iterator[BinaryIO]:
    """Gives a file to write bytes to; it becomes `final` if the block ends well.

    An existing `final` is replaced. On an error nothing is left under either name.
    """
    beside = _beside(final)
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(final)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(final: Path, *, first_wins: bool = False) -> Iterator[Path]:
    """Gives an empty folder beside `final`; renames it to `final` if the block ends well.

    An existing `final` is replaced. With `first_wins` one that another thread or program made
    meanwhile stays, since somebody may be at work in it. On an error nothing is left under either
    name.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    was_there = final.exists()
    beside = _beside(final)
    beside.mkdir()
    try:
        yield beside
        _as_open_as_the_folder(beside)
        sync_tree(beside)
        if was_there or not (first_wins and final.exists()):
            replace_folder(beside, final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def replace_folder(beside: Path, final: Path) -> None:
    """Rename `beside` to `final`; what stood there is moved away first and deleted after. Where
    that is a link to a folder, the folder stays."""
    old = None
    if final.exists() or final.is_symlink():
        old = _beside(final)
        final.replace(old)
    beside.replace(final)
    if old is not None:
        if old.is_symlink() or old.is_file():
            old.unlink(missing_ok=True)
        else:
            shutil.rmtree(old, ignore_errors=True)


def delete_folder(folder: Path) -> None:
    """Delete it with all that is in it. Renamed first, so that nobody finds half of it.

    Raises OSError where another program holds its files; then nothing of it is deleted.
    """
    away = _beside(folder)
    folder.rename(away)
    shutil.rmtree(away, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Flush every file below `folder` to disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def sync_names(folder: Path) -> None:
    """Flush the names in `folder` to disk, so that a rename in it outlasts a loss of power.

    Does nothing on Windows, which opens no folders.
    """
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_leftovers(folder: Path) -> None:
    """Delete what interrupted work left half-written in `folder`, once nobody writes it.

    That is when nothing in it changed for an hour: another studio may be at work.
    """
    for path in folder.glob(f"{PARTIAL}*"):
        inside = path.rglob("*") if path.is_dir() else ()
        try:
            newest = max(found.lstat().st_mtime for found in [path, *inside])
        except FileNotFoundError:  # it became whole meanwhile
            continue
        if time.time() - newest < LEFTOVER_SECONDS:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _as_open_as_the_folder(folder: Path) -> None:
    """Let whoever may read or write `folder` do so with every file below it.

    safetensors writes files that only their owner may read. A folder that was just made follows
    the person's umask, which cannot be asked for without changing it for all threads.
    """
    allowed = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode | allowed)


def _beside(path: Path) -> Path:
    return path.with_name(f"{PARTIAL}{path.name}-{uuid.uuid4().hex[:8]}")


def folder_bytes(folder: Path) -> int:
    """Size of all files below `folder`, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def free_bytes(where: Path) -> int:
    """Free disk space at `where`, which need not exist yet, in bytes."""
    return shutil.disk_usage(nearest_existing(where)).free


def nearest_existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def with_spare(needed_bytes: float) -> int:
    """What has to be free for `needed_bytes`: a tenth more."""
    return int(needed_bytes * _SPARE)


def require_free_bytes(where: Path, needed_bytes: int, what: str) -> None:
    """Raise DiskError unless `needed_bytes` and what is to spare are free at `where`."""
    free = free_bytes(where)
    wanted = with_spare(needed_bytes)
    if free < wanted:
        raise DiskError(
            f"{what} needs {readable_bytes(wanted)}, but only {readable_bytes(free)} are free "
            f"at {where}.",
            "Free some space there, or start the studio with --home on a larger disk.",
        )


@contextmanager
def disk_errors_told(where: Path, what: str) -> Iterator[None]:
    """Inside the block a disk that is full or write-protected is a DiskError about `what`."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise disk_error(error, where, what) from error


def disk_error(error: OSError, where: Path, what: str) -> DiskError:
    """What a person is told when `what` found no room at `where`."""
    first = ("Allow the studio to write there" if error.errno in _FORBIDDEN
             else "Free some space on that disk")
    return DiskError(f"{what} cannot be written to {where}: {error.strerror or error}.",
                     f"{first}, or put the studio's folder elsewhere with --home.")


def readable_bytes(count: float) -> str:
    """1536 -> '1.5 KB'. Decimal units, as disks and file managers show them."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def free_path(folder: Path, stem: str, ending: str, promised: Collection[Path] = ()) -> Path:
    """`stem` and `ending` in `folder`, or with -2, -3 and so on between them where it is taken.

    Paths that are `promised` and not written yet are taken, too.
    """
    path = folder / f"{stem}{ending}"
    count = 1
    while path in promised or path.exists():
        count += 1
        path = folder / f"{stem}-{count}{ending}"
    return path


def safe_name(text: str, fallback: str = "run", *, longest: int = 80) -> str:
    """A name of at most `longest` characters that is a single valid file name on Windows, Linux,
    and macOS; given such a name, that name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text.strip()).strip("-. ")[:longest].rstrip("-. ")
    if not name:
        return fallback
    first, dot, rest = name.partition(".")
    return f"{first}-1{dot}{rest}" if first.lower() in _WINDOWS_RESERVED else name
