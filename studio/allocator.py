"""What becomes of memory that is freed: it stays with the process, or goes back to the system.

A training step wants what the one before has freed. glibc gives large blocks back at once and asks
for them anew, and each page of them is cleared again by the kernel: about a tenth of a step on a
CPU. Answers are made of small tensors and need none of that, but they spread over whatever room the
loading of a model has left behind. Linux with glibc alone; elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""From glibc's malloc.h."""
_KEPT = {_MMAP_THRESHOLD: 2 ** 30, _TRIM_THRESHOLD: 2 ** 31 - 1, _TOP_PAD: 2 ** 26}
"""Bytes: the largest block that is kept, how much may lie free, what is asked for at once."""
_GIVEN_BACK = {_MMAP_THRESHOLD: 2 ** 18, _TRIM_THRESHOLD: 2 ** 24, _TOP_PAD: 2 ** 17}
"""Every weight by itself, and little that lies free."""
_AFTERWARDS = {_MMAP_THRESHOLD: 2 ** 25, _TRIM_THRESHOLD: 2 ** 26, _TOP_PAD: 2 ** 17}
"""Where glibc's own thresholds come to rest in a process that frees large blocks (mallopt(3))."""

LAYERS_BETWEEN = 3
"""Decoder layers of a training step between two times that freed memory goes back."""


def freed_memory_kept() -> AbstractContextManager[None]:
    """Inside the block; behind it, what lies free goes back."""
    return _within(_KEPT)


def freed_memory_given_back() -> AbstractContextManager[None]:
    """Inside the block what is as large as a weight goes back as soon as it is freed. For what
    handles whole weights: a merge, and the loading of a model that is to answer. Its weights are
    read in threads, each of which would keep the room of those that were put into another form,
    and answers would spread over it (0.1 GB more for four columns of a model of 0.5 GB)."""
    return _within(_GIVEN_BACK)


_lock = threading.Lock()
_wishes: list[dict[int, int]] = []
"""Of all blocks at work, in any thread: the settings are the whole process's."""


@contextmanager
def _within(values: dict[int, int]) -> Iterator[None]:
    library = _glibc()
    if library is None:
        yield
        return
    _wish(library, values)
    try:
        yield
    finally:
        _take_back(library, values)
        give_freed_memory_back()


def _wish(library: ctypes.CDLL, values: dict[int, int]) -> None:
    with _lock:
        _wishes.append(values)
        _set(library, _in_force())


def _take_back(library: ctypes.CDLL, values: dict[int, int]) -> None:
    with _lock:
        _wishes.remove(values)
        _set(library, _in_force())


def _in_force() -> dict[int, int]:
    """A training keeps what it frees, also while a chat beside it loads: it would lose more time
    than the chat has memory to gain."""
    if not _wishes:
        return _AFTERWARDS
    return _KEPT if _KEPT in _wishes else _wishes[-1]


def give_freed_memory_back() -> None:
    """What is kept and lies free goes back to the system."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, values: dict[int, int]) -> None:
    for option, value in values.items():
        library.mallopt(option, value)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
