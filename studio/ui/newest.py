"""An answer that was overtaken on its way is not shown.

Two questions of one page may be answered in any order, most of all while both wait for the
libraries: what the older one says would then stay on the screen.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

_PAGES = 200
"""So many pages are remembered; one that was forgotten shows what comes."""


class Asked(NamedTuple):
    """Which page asked, and its how-manieth question that was."""

    page: str
    number: int


class Newest:
    """The newest question of each page that was answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered: OrderedDict[str, int] = OrderedDict()

    def answered(self, asked: Asked) -> bool:
        """Note that this one is; False where a later one was before it."""
        with self._lock:
            if self.is_overtaken(asked):
                return False
            self._answered[asked.page] = asked.number
            self._answered.move_to_end(asked.page)
            while len(self._answered) > _PAGES:
                self._answered.popitem(last=False)
            return True

    def is_overtaken(self, asked: Asked) -> bool:
        """Whether a later question of that page was answered."""
        return asked.number < self._answered.get(asked.page, 0)
