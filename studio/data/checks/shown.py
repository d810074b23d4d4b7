"""Short excerpts of rows to show beside a finding, with personal data masked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy

from studio.data.checks.personal import masked
from studio.data.checks.samples import sample_of
from studio.data.checks.texts import prompt_and_answer, strings_in
from studio.data.findings import Shown
from studio.data.samples import RowFault

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole

MOST_SHOWN = 5
_LONGEST_PART = 90
_LONGEST_MASKED = 2_000
_SINGULAR = {"are": "is", "teach": "teaches", "cannot": "cannot"}


def examples_of(
    whole: Whole, rows: numpy.ndarray, text_of: Callable[[int], str] | None = None
) -> tuple[Shown, ...]:
    """The first few of `rows`, each with an excerpt or what `text_of` says of it."""
    return tuple(
        Shown(row, whole.store.place(row), text_of(row) if text_of else excerpt(whole, row))
        for row in rows[:MOST_SHOWN].tolist())


def excerpt(whole: Whole, row: int) -> str:
    """How the prompt and the answer begin; of a row that cannot be taught, its first texts."""
    sample = sample_of(whole, row)
    if isinstance(sample, RowFault):
        return _short(" \u00b7 ".join(strings_in(whole.store.row(row))), 2 * _LONGEST_PART)
    prompt, answer = (" ".join(texts) for texts in prompt_and_answer(sample))
    parts = [_short(prompt, _LONGEST_PART), _short(answer, _LONGEST_PART)]
    return " \u2192 ".join(part for part in parts if part)


def rows_in_words(count: int, verb: str = "") -> str:
    """"1 row", "1,234 rows", with a verb such as "hold": "1 row holds"."""
    if count == 1:
        return f"1 row {_SINGULAR.get(verb, f'{verb}s')}" if verb else "1 row"
    return f"{count:,} rows {verb}".rstrip()


def _short(text: str, longest: int) -> str:
    """One line. Masked before it is cut, so that no half of an address is left."""
    text = " ".join(masked(text[:_LONGEST_MASKED]).split())
    return text if len(text) <= longest else text[: longest - 1] + "\u2026"
