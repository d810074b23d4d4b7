"""What reading gives: rows, where each stood, and what was wrong with the others.

Holds no reading itself; see `sources.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


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


@dataclass
class Records:
    """All that was read from one source, in its order.

    `places[i]` says where `rows[i]` stood. `total_rows` counts the rows that could not be
    read as well, so `total_rows - len(rows)` were left out, each with a Problem.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    total_rows: int = 0

    @property
    def columns(self) -> list[str]:
        """Every column that any row has, in order of first appearance."""
        names: dict[str, None] = {}
        for row in self.rows:
            names.update(dict.fromkeys(row))
        return list(names)

    def keep(self, row: Row, place: str) -> None:
        """Count a row and keep it, unless a text in it cannot be written as UTF-8."""
        if has_broken_text(row):
            self.leave_out(
                "the text holds bytes that are not valid UTF-8, so this record is left out.",
                place, "Save the file as UTF-8, or correct this record.",
            )
            return
        self.total_rows += 1
        self.rows.append(row)
        self.places.append(place)

    def leave_out(self, what: str, place: str, hint: str) -> None:
        """Count a row that cannot be used and say why."""
        self.total_rows += 1
        self.problems.append(Problem(what, place, hint))


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
