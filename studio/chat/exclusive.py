"""One at a time; whoever comes second is told so at once and not kept waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from studio.errors import BusyError


@contextmanager
def only_one(lock: threading.Lock, busy: str, hint: str) -> Iterator[None]:
    """Hold `lock` for a block, or raise BusyError.

    A plain lock and no RLock: a generator may be resumed and closed on different threads.
    """
    if not lock.acquire(blocking=False):
        raise BusyError(busy, hint)
    try:
        yield
    finally:
        lock.release()
