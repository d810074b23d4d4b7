"""Keeps the data that were looked at last, and forgets the others, so that the cache stays small.

Everything here can be made again from the sources.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from studio.files import PARTIAL, delete_folder, remove_leftovers

KEPT_SETS = 10


def used_now(folder: Path) -> None:
    """Remember that a set was used, and forget those that were not used for longest."""
    os.utime(folder)
    remove_leftovers(folder.parent)
    sets = [path for path in folder.parent.iterdir()
            if path.is_dir() and not path.name.startswith(PARTIAL)]
    for old in sorted(sets, key=_last_use, reverse=True)[KEPT_SETS:]:
        with suppress(OSError):  # Windows refuses while a run reads from it; then it stays
            delete_folder(old)


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another studio forgot it
        return 0.0
