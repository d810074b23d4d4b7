"""Which process works on a folder, in a file that survives a crash.

The file names a process by its id and its start time, because ids are given out again. An owner
that is no longer alive has lost the folder, whatever the file says.
"""

from __future__ import annotations

import functools
import json
import os
import time
from pathlib import Path

import psutil

_CLOCK_SLACK_SECONDS = 2.0
"""A process's start time may shift by this much when the system clock is corrected."""

_owned_here: set[Path] = set()
"""The owner files of this process. One that names it and is not among these was left behind when
its folder was moved away; the folder may have come back since."""


class OwnerLock:
    """The owner file of one folder."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    def is_alive(self) -> bool:
        """True while the process named in the file is running, this one included."""
        owner = self._read()
        if owner == _this_process():
            return self._path in _owned_here
        return owner is not None and _is_running(*owner)

    def take(self) -> bool:
        """Become the owner. False while a living process, this one included, is the owner."""
        if self.is_alive():
            return False
        self._path.unlink(missing_ok=True)
        try:
            with self._path.open("x", encoding="utf-8") as file:
                pid, started = _this_process()
                json.dump({"pid": pid, "started": started}, file)
        except FileExistsError:
            return False
        if self._read() != _this_process():
            return False
        _owned_here.add(self._path)
        return True

    def release(self) -> None:
        """Stop being the owner; another process's file is left alone."""
        _owned_here.discard(self._path)
        if self._read() == _this_process():
            self._path.unlink(missing_ok=True)

    def _read(self) -> tuple[int, float] | None:
        for attempt in (1, 2):
            try:
                owner = json.loads(self._path.read_text(encoding="utf-8"))
                return int(owner["pid"]), float(owner["started"])
            except FileNotFoundError:
                return None
            except (OSError, ValueError, KeyError, TypeError):
                # Another process may be between making the file and filling it.
                if attempt == 1:
                    time.sleep(0.05)
        return None


@functools.cache
def _start_of(pid: int) -> float:
    return psutil.Process(pid).create_time()


def _this_process() -> tuple[int, float]:
    pid = os.getpid()
    return pid, _start_of(pid)


def _is_running(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return (abs(process.create_time() - started) < _CLOCK_SLACK_SECONDS
                and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
