"""Processor time that is spent beside a training: by the page, its browser, the studio's threads.

Seconds per step tell the same, but only to a few hundredths: where every core is busy, what others
take of the processor is what the training lacks. Linux alone, where a training's threads are known
by their priority (`training/priority.py`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil


def watch_beside(studio: psutil.Process) -> Callable[[], float] | None:
    """Begins to watch; calling what it gives ends it.

    The share (0 to 1) of all cores' time that was taken by threads of `studio` that do not train,
    by the processes that it started, and by browsers of this process. None elsewhere than on Linux.
    """
    if sys.platform != "linux":
        return None
    began, before = time.monotonic(), _seconds(studio)

    def share() -> float:
        spent = sum(seconds - before.get(key, 0.0) for key, seconds in _seconds(studio).items())
        return spent / (time.monotonic() - began) / (os.cpu_count() or 1)

    return share


def _seconds(studio: psutil.Process) -> dict[Any, float]:
    """Processor seconds so far, by thread of the studio and by process of others."""
    found: dict[Any, float] = {
        ("thread", thread.id): thread.user_time + thread.system_time
        for thread in studio.threads() if not _trains(thread.id)}
    others = [*studio.children(recursive=True), *_browsers()]
    return found | {("process", process.pid): _process_seconds(process) for process in others}


def _trains(thread: int) -> bool:
    try:
        return os.getpriority(os.PRIO_PROCESS, thread) > os.getpriority(os.PRIO_PROCESS, 0)
    except ProcessLookupError:
        return True


def _browsers() -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True)
            if "chrom" in process.name()]


def _process_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
        return float(times.user + times.system)
    except psutil.NoSuchProcess:
        return 0.0
