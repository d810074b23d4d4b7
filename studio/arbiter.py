"""Who may use the device's memory: training, chat, or export; side by side only where they fit.

Grants the device without waiting: whoever comes second is told who holds it and how to free it.
Compares what holders say they need with the room there is; it measures nothing itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from studio.errors import BusyError
from studio.files import readable_bytes

SHARED_SHARE = 0.9
"""Of the room; the rest is left for what no estimate knows, such as gaps between tensors."""


@dataclass(eq=False)
class Holder:
    """Who holds the device. `release_when_idle` gives it up without losing anything, or is None.

    `uses_what_is_kept`: what is kept in memory for later is meant for this holder. `need` tells the
    most bytes that it takes, those that it holds already included; where that cannot be told, or
    without it, the holder shares with nobody. `how_to_need_less` is advice for when it does not
    fit.
    """

    what: str
    how_to_free: str
    release_when_idle: Callable[[], bool] | None = None
    uses_what_is_kept: bool = False
    need: Callable[[], int | None] | None = None
    how_to_need_less: str = ""

    def need_bytes(self) -> int | None:
        """What `need` tells now; None where it tells nothing."""
        return None if self.need is None else self.need()


@dataclass(frozen=True)
class Together:
    """Whether holders fit side by side: by name the most that each takes, and what there is."""

    needs: tuple[tuple[str, int], ...]
    shared_bytes: int

    @property
    def fits(self) -> bool:
        """Whether there is enough even when all of them are at their peak at once."""
        return sum(size for _, size in self.needs) <= self.shared_bytes

    @property
    def text(self) -> str:
        """Both sides of it, as a sentence."""
        takes = [f"{what} takes up to {readable_bytes(size)}" for what, size in self.needs]
        takes = [takes[0], *(f"{one[0].lower()}{one[1:]}" for one in takes[1:])]
        return (f"{' and '.join(takes)} of memory; {readable_bytes(self.shared_bytes)} are there "
                "for both.")


class Arbiter:
    """Hands the device out; an idle holder that agrees is asked to leave where it is in the way.

    `room_bytes` tells the memory that all holders together may take, what they hold now included.
    Without it there is one holder at a time.
    """

    def __init__(self, room_bytes: Callable[[], int] | None = None) -> None:
        self._lock = threading.RLock()
        self._room_bytes = room_bytes
        # Replaced as a whole, so that pages read it without waiting for somebody who is leaving.
        self._holders: tuple[Holder, ...] = ()
        self._keepers: list[Callable[[], None]] = []

    def give_up_for_others(self, give_up: Callable[[], None]) -> None:
        """Call `give_up` whenever the device is taken by a holder that does not use what is kept.

        It must free the memory at once and never ask for the device.
        """
        self._keepers.append(give_up)

    @property
    def holder(self) -> Holder | None:
        """Who has held the device longest."""
        return next(iter(self._holders), None)

    def holds(self, holder: Holder) -> bool:
        """Whether the device is `holder`'s, alone or beside others."""
        return holder in self._holders

    def others(self, holder: Holder) -> tuple[Holder, ...]:
        """Who holds the device besides `holder`."""
        return tuple(one for one in self._holders if one is not holder)

    def together(self, holders: Sequence[Holder]) -> Together | None:
        """What these need against what there is; None where that cannot be told."""
        if self._room_bytes is None:
            return None
        needs = []
        for one in holders:
            size = one.need_bytes()
            if size is None:
                return None
            needs.append((one.what, size))
        return Together(tuple(needs), round(SHARED_SHARE * self._room_bytes()))

    def acquire(self, holder: Holder) -> None:
        """Take the device for `holder`, beside others where all of them fit; again where it needs
        more than before. Raises BusyError with a present holder's words."""
        with self._lock:
            others = self.others(holder)
            together = self.together([*others, holder]) if others else None
            if together is None or not together.fits:
                self._make_leave(others, holder, together)
            if holder not in self._holders:
                if not holder.uses_what_is_kept:
                    for give_up in self._keepers:
                        give_up()
                self._holders = (*self._holders, holder)

    def clear(self, holder: Holder) -> bool:
        """Ask whoever shares the device with `holder` to leave; whether all of them did."""
        with self._lock:
            return all([self._leaves(one) for one in self.others(holder)])

    def release(self, holder: Holder) -> None:
        """Give the device back; a holder that already left is no mistake."""
        with self._lock:
            self._holders = self.others(holder)

    @contextmanager
    def held(self, holder: Holder) -> Iterator[None]:
        """Hold the device for the length of a block."""
        self.acquire(holder)
        try:
            yield
        finally:
            self.release(holder)

    def _make_leave(self, others: Sequence[Holder], holder: Holder,
                    together: Together | None) -> None:
        # Those that never leave come first, so that nobody leaves for nothing.
        for present in sorted(others, key=lambda one: one.release_when_idle is not None):
            if not self._leaves(present):
                if together is None:
                    raise BusyError(f"{present.what} is using this PC right now.",
                                    present.how_to_free)
                raise BusyError(
                    f"{present.what} is using this PC right now, and both do not fit into its "
                    f"memory. {together.text}",
                    f"{present.how_to_free} {holder.how_to_need_less}".strip())

    def _leaves(self, present: Holder) -> bool:
        if present.release_when_idle is None or not present.release_when_idle():
            return False
        self._holders = self.others(present)
        return True
