"""One owner of the device's memory at a time: training, chat, or export.

Grants the device without waiting: whoever comes second is told who holds it and how to free it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from studio.errors import BusyError


@dataclass
class Holder:
    """Who holds the device. `release_when_idle` gives it up without losing anything, or is None.

    `uses_what_is_kept`: what is kept in memory for later is meant for this holder.
    """

    what: str
    how_to_free: str
    release_when_idle: Callable[[], bool] | None = None
    uses_what_is_kept: bool = False


class Arbiter:
    """Hands the device to one holder; an idle holder that agrees is asked to leave."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holder: Holder | None = None
        self._keepers: list[Callable[[], None]] = []

    def give_up_for_others(self, give_up: Callable[[], None]) -> None:
        """Call `give_up` whenever the device is taken by a holder that does not use what is kept.

        It must free the memory at once and never ask for the device.
        """
        self._keepers.append(give_up)

    @property
    def holder(self) -> Holder | None:
        """Who holds the device now."""
        with self._lock:
            return self._holder

    def acquire(self, holder: Holder) -> None:
        """Take the device for `holder`. Raises BusyError with the present holder's words."""
        with self._lock:
            present = self._holder
            if present is not None and present is not holder:
                leave = present.release_when_idle
                if leave is None or not leave():
                    raise BusyError(f"{present.what} is using this PC right now.",
                                    present.how_to_free)
            if present is not holder and not holder.uses_what_is_kept:
                for give_up in self._keepers:
                    give_up()
            self._holder = holder

    def release(self, holder: Holder) -> None:
        """Give the device back; a holder that already left is no mistake."""
        with self._lock:
            if self._holder is holder:
                self._holder = None

    @contextmanager
    def held(self, holder: Holder) -> Iterator[None]:
        """Hold the device for the length of a block."""
        self.acquire(holder)
        try:
            yield
        finally:
            self.release(holder)
