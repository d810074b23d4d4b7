"""The folder that a bench works in: empty when it begins, gone when it ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def passing_folder(path: Path) -> Iterator[Path]:
    """`path` as an empty folder, deleted afterwards; what an interrupted bench left goes first."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
