"""What the report of a data set is made of: findings with counts, rows, and remedies.

Plain values only. What looks for findings is in `checks/`, what mends them in `cleaning/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy

Level = Literal["problem", "warning", "info"]
Remedy = Literal["drop", "fix", "mask"]


@dataclass(frozen=True)
class Shown:
    """One example of a finding: row number from 0, its place, and a short text that is safe to
    show (personal data is masked)."""

    row: int
    place: str
    text: str


@dataclass(frozen=True)
class Finding:
    """Something about the set that a person should know before it costs an hour.

    `key` is stable ("exact_duplicates"). `rows` are the numbers, from 0 in reading order, of all
    rows that a remedy would touch (uint32, sorted); `count` may count more than rows (matches)
    or, where no row could be read, what has no number. `remedies` are what one click can do.
    """

    key: str
    level: Level
    title: str
    what: str
    hint: str = ""
    count: int = 0
    rows: numpy.ndarray = field(default_factory=lambda: numpy.zeros(0, numpy.uint32), repr=False)
    shown: tuple[Shown, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values; the rows as a number, since there may be a million."""
        return {
            "key": self.key, "level": self.level, "title": self.title, "what": self.what,
            "hint": self.hint, "count": self.count, "rows": len(self.rows),
            "shown": [{"row": one.row + 1, "place": one.place, "text": one.text}
                      for one in self.shown],
            "remedies": list(self.remedies),
        }
