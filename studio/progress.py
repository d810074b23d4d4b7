"""How long work tells whoever waits for it how far it is.

A `Progress` is any callable taking a `Step`; the page draws a bar from it, the command line
another. The work itself never prints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One report. `done` and `total` count `unit`s; `total` is None where the end is unknown."""

    what: str
    done: float = 0
    total: float | None = None
    unit: str = ""

    @property
    def fraction(self) -> float | None:
        """Between 0 and 1, or None where the end is unknown."""
        if not self.total:
            return None
        return min(1.0, max(0.0, self.done / self.total))


Progress = Callable[[Step], None]
ShouldStop = Callable[[], bool]


def silent(step: Step) -> None:
    """The progress of whoever does not want to know."""


def never() -> bool:
    """The stop signal of work that nobody will stop."""
    return False
