"""A Python process of its own for work that brings native code, logs, or memory along.

Started with this same interpreter, on every system alike; its error output is kept, so that a
failure can say what went wrong. Stopping kills that process and no other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO

from studio.progress import ShouldStop

LOOK_SECONDS = 0.2
_KEPT_LINES = 200


def studio_module(module: str, *arguments: str) -> list[str]:
    """Arguments for a `Child` that runs a module of this very studio, wherever it lies."""
    root = str(Path(__file__).absolute().parents[1])
    script = (f"import runpy, sys; sys.path.insert(0, {root!r}); "
              f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)")
    return ["-c", script, *arguments]


def orphaned(parent: int) -> ShouldStop:
    """For a child: true once the process that asked for it is gone."""
    import psutil

    try:
        process = psutil.Process(parent)
    except psutil.NoSuchProcess:
        return lambda: True
    return lambda: not process.is_running()


def end_with(parent: int) -> None:
    """For a child in the midst of long calls: from now on it ends as soon as that process is gone.
    """
    is_alone = orphaned(parent)

    def watch() -> None:
        while not is_alone():
            time.sleep(LOOK_SECONDS)
        os._exit(1)  # the main thread may be deep in a computation

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


class Child:
    """Runs `python ARGUMENTS`. Use it as a context: leaving the block ends the process."""

    def __init__(self, arguments: list[str], *, cwd: Path) -> None:
        # -P keeps the working folder off the module path; -X utf8 makes Windows read UTF-8.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", *arguments], cwd=cwd, encoding="utf-8",
            errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,),
                                        name="child-errors", daemon=True)
        self._reader.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()

    @property
    def process_id(self) -> int:
        """The number that the system gave it."""
        return self._process.pid

    def has_ended(self, look_seconds: float = LOOK_SECONDS) -> bool:
        """Waits so long at most."""
        try:
            self._process.wait(look_seconds)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join()
        return True

    @property
    def has_succeeded(self) -> bool:
        """After its end: whether it ended well."""
        return self._process.returncode == 0

    @property
    def was_killed(self) -> bool:
        """After its end: whether the system put an end to it, as Linux does when memory runs out.

        Windows has no such thing: there the allocation itself fails.
        """
        return self._process.returncode == -9

    @property
    def last_words(self) -> str:
        """The last line that it wrote to its error output."""
        return next((line for line in reversed(self._lines) if line), "it said nothing")

    @property
    def said(self) -> str:
        """The last lines of its error output."""
        return "\n".join(self._lines)

    def _read(self, errors: IO[str]) -> None:
        with errors:
            for line in errors:
                self._lines.append(line.rstrip().rpartition("\r")[2])
