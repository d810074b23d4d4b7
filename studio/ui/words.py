"""Numbers, names and moments as the page says them. Plain text: whoever shows it escapes it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence


def counted(count: int, what: str) -> str:
    """"1 prompt", "2,000 prompts"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def joined(names: Sequence[str]) -> str:
    """"a", "a and b", "a, b and c"; nothing for none."""
    *others, last = names or [""]
    return f"{', '.join(others)} and {last}" if others else last


def moment(seconds: float, *, with_year: bool = False) -> str:
    """"05 Nov, 14:30" in the time of this PC."""
    form = "%d %b %Y, %H:%M" if with_year else "%d %b, %H:%M"
    return datetime.datetime.fromtimestamp(seconds).strftime(form)
