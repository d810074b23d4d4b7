"""Reads a growing JSON-lines file, each time only what was added since; and adds to its end.

A torn last line waits until it is whole; a line that is no JSON object is left out. Several
threads or programs may add to one file; none changes what is there.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class JsonLines(Generic[T]):
    """The records of `path`. `parse` makes one from an object, or None to leave it out."""

    def __init__(self, path: Path, parse: Callable[[dict], T | None]) -> None:
        self._path = path
        self._parse = parse
        self._lock = threading.Lock()
        self._offset = 0
        self._records: list[T] = []

    def read(self) -> list[T]:
        """Every record so far, oldest first; a file that is missing or was cut starts anew."""
        with self._lock:
            try:
                with self._path.open("rb") as file:
                    if file.seek(0, 2) < self._offset:
                        self._offset, self._records = 0, []
                    file.seek(self._offset)
                    fresh = file.read()
            except FileNotFoundError:
                self._offset, self._records = 0, []
                return []
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.splitlines():
                record = self._record(line)
                if record is not None:
                    self._records.append(record)
            return list(self._records)

    def _record(self, line: bytes) -> T | None:
        try:
            found = json.loads(line)
        except ValueError:
            return None
        return self._parse(found) if isinstance(found, dict) else None


def append_json_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Add records to the end of `path` and flush them to disk, all or, after a crash, some.

    Raises ValueError for NaN and infinity, which JSON knows not, and OSError.
    """
    text = "".join(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
                   for record in records)
    with path.open("ab") as file:
        # A crash may have torn the last line; an empty one is passed over.
        file.write(b"\n" + text.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())
