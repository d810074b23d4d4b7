"""Scores answers of the starter task: is it JSON, and is it exactly the expected JSON?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Score:
    """Counts over `total` answers; `exact` answers are valid as well."""

    total: int
    valid_json: int
    exact: int

    @property
    def valid_percent(self) -> float:
        return 100 * self.valid_json / self.total if self.total else 0.0

    @property
    def exact_percent(self) -> float:
        return 100 * self.exact / self.total if self.total else 0.0


def score_json(answers: Sequence[str], expected: Sequence[str]) -> Score:
    """Compare answers with the expected texts, one by one.

    An answer is valid if the whole of it is one JSON object with no key given twice, and
    exact if the object equals the expected one; the order of keys and the spaces do
    not count, everything else does.
    """
    if len(answers) != len(expected):
        raise ValueError(f"{len(answers)} answers for {len(expected)} expected texts")
    got = [canonical_json(answer, dict) for answer in answers]
    wanted = [canonical_json(text, dict) for text in expected]
    exact = sum(a is not None and a == b for a, b in zip(got, wanted, strict=True))
    return Score(len(got), sum(answer is not None for answer in got), exact)


def canonical_json(text: str, kinds: Any = (dict, list)) -> str | None:
    """The value with sorted keys, or None where the text is not one JSON value of those kinds.

    Compared as text, because Python takes 1, 1.0 and true for equal.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, kinds):
        return None
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key that is given twice leaves open which value is meant."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)
