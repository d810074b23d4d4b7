"""One at a time; whoever comes second is told so at once and not kept waiting.

Unless the one at work makes room when asked: then the second waits the moment that takes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from studio.errors import BusyError

ROOM_SECONDS = 60.0
"""How long to wait for one that makes room: it may be reading a long prompt."""


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


class OneAtATime:
    """The same for work some of which goes on later: it looks at `is_wanted` and ends soon."""

    def __init__(self, busy: str, hint: str) -> None:
        self._busy = (busy, hint)
        self._changed = threading.Condition()
        self.waiting = 0
        """How many wait for the one at work to make room."""
        self._makes_room = False
        self.is_held = False
        """Whether somebody is at work."""

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for the one at work to make room."""
        return self.waiting > 0

    @property
    def makes_room(self) -> bool:
        """Whether the one at work makes room as soon as somebody waits."""
        return self.is_held and self._makes_room

    @contextmanager
    def held(self, *, makes_room: bool = False) -> Iterator[None]:
        """Be the one at work for a block, or raise BusyError.

        Who `makes_room` waits for nobody, comes after those who wait, and leaves the block soon
        after `is_wanted`.
        """
        self._take(makes_room)
        try:
            yield
        finally:
            with self._changed:
                self.is_held = False
                self._changed.notify_all()

    def _take(self, makes_room: bool) -> None:
        with self._changed:
            if not makes_room:
                self._wait_for_room()
            if self.is_held or (makes_room and self.waiting):
                raise BusyError(*self._busy)
            self.is_held, self._makes_room = True, makes_room

    def _wait_for_room(self) -> None:
        self.waiting += 1
        try:
            self._changed.wait_for(lambda: not (self.is_held and self._makes_room), ROOM_SECONDS)
        finally:
            self.waiting -= 1
