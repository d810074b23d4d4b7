"""What reading gives: rows, where each stood, and what was wrong with the others.

Holds no reading itself; see `reading/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

LEFT_OUT = frozenset({"unreadable", "undecoded"})
"""Kinds of problems that leave a record out. The other kinds are notes."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with the data. `where` is "line 12", "row 3", "b.jsonl line 3", or "" for the
    whole source. `kind` names the finding that counts it."""

    what: str
    where: str = ""
    hint: str = ""
    kind: str = "unreadable"

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what} {self.hint}".strip()

    def as_json(self) -> dict[str, Any]:
        """`what`, `where`, `hint`, and the number under `line` or `row` where there is one."""
        report: dict[str, Any] = {"what": self.what, "where": self.where, "hint": self.hint}
        kind, _, number = " ".join(self.where.split(" ")[-2:]).partition(" ")
        if kind in ("line", "row") and number.isdigit():
            report[kind] = int(number)
        return report


@dataclass(frozen=True, slots=True)
class Read:
    """What one record gave: a row of JSON-like values, or the problem why there is none.

    A row with a problem is kept and the problem is a note ("NaN was read as null"). Without a row
    and with an empty `place` the problem is the source's own and no record.
    """

    place: str
    row: Row | None = None
    problem: Problem | None = None


def has_broken_text(value: Any) -> bool:
    """True where a text holds a lone surrogate: bytes that did not decode, or half of a pair.

    No tokenizer takes such a text, and nobody wants to teach it.
    """
    if isinstance(value, str):
        return not value.isascii() and _holds_surrogate(value)
    if isinstance(value, dict):
        return any(has_broken_text(key) or has_broken_text(item) for key, item in value.items())
    if isinstance(value, list):
        return any(has_broken_text(item) for item in value)
    return False


def _holds_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
