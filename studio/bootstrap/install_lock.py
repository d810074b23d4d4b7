"""One install at a time in one folder.

The operating system holds the lock and drops it with the process, so nothing has to be cleaned
up after a crash. On POSIX a running pip holds it too: if only this process is killed, the next
start waits until that pip has ended. A second start waits and says so.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.bootstrap.console import say

LOCK_FILE_NAME = ".install-lock"


@contextmanager
def only_one_install(folder: Path) -> Iterator[None]:
    """Hold the folder's install lock; waits for another holder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE_NAME).open("a+b") as file:
        said = False
        while not _try_lock(file.fileno()):
            if not said:
                say("Another start is installing here right now; waiting until it is done.")
                said = True
            time.sleep(0.5)
        if os.name == "posix":
            os.set_inheritable(file.fileno(), True)
        yield


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
