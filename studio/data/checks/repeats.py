"""Findings about rows that say the same as others: duplicates, overlap with the held-out rows, and
one question with several answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from studio.data.checks.duplicates import MOST_PAIRS, column, first_of_equal
from studio.data.checks.rows import Flag
from studio.data.checks.shown import examples_of, excerpt, rows_in_words
from studio.data.findings import Finding, Remedy
from studio.data.split import Split
from studio.errors import DataError

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole

_HAS_ANSWERS = ("alpaca", "prompt_completion", "messages", "sharegpt", "dialogue")


def repeat_findings(whole: Whole) -> list[Finding]:
    """What was found. A row and its copy in the held-out part are no duplicates, but an overlap:
    dropping both findings must not lose both copies."""
    split = _split(whole)
    apart = whole.held_out.copy()
    if whole.data.held_out == "column":
        apart[split.held_out] = True
    exact = _later(column(whole.checks, "content"), apart) & ~whole.faulty
    near = _later(whole.groups, apart) & ~exact & ~whole.faulty
    found = [_overlap(whole, split), _exact(whole, exact), _near(whole, near),
             _same_question(whole)]
    return [finding for finding in found if finding is not None]


def _split(whole: Whole) -> Split:
    try:
        return whole.split
    except DataError:  # the report says why there is no split
        nothing = numpy.zeros(0, numpy.uint32)
        return Split(nothing, nothing, "")


def _later(groups: numpy.ndarray, apart: numpy.ndarray) -> numpy.ndarray:
    """Whether a row of the same group stands earlier on the same side, bool."""
    later = numpy.zeros(len(groups), dtype=bool)
    for side in (numpy.flatnonzero(apart), numpy.flatnonzero(~apart)):
        later[side] = first_of_equal(groups[side]) != numpy.arange(len(side))
    return later


def _exact(whole: Whole, later: numpy.ndarray) -> Finding | None:
    rows = _rows(later)
    if not len(rows):
        return None
    return Finding(
        "exact_duplicates", "warning", "Exact duplicates",
        f"{rows_in_words(len(rows), 'teach')} word for word what an earlier row teaches. Other "
        "columns (an id, a date) may differ.",
        "Such rows count twice and are learned by heart. Drop keeps the first of each.",
        len(rows), rows, examples_of(whole, rows), ("drop",))


def _near(whole: Whole, later: numpy.ndarray) -> Finding | None:
    rows = _rows(later)
    if not len(rows):
        return None
    return Finding(
        "near_duplicates", "warning", "Near duplicates",
        f"{rows_in_words(len(rows), 'differ')} from an earlier row only in letter case, "
        "punctuation, or about a word in twenty. Rows of one template with other names, numbers, "
        "or answers are not counted: prompt and answer must both be alike and hold the same "
        "numbers, and wording that many rows share is no likeness.",
        f"Look at some before you drop them; Drop keeps the first of each group. At most "
        f"{MOST_PAIRS:,} likely pairs are compared.",
        len(rows), rows, examples_of(whole, rows, lambda row: _pair_text(whole, row)), ("drop",))


def _pair_text(whole: Whole, row: int) -> str:
    first = int(whole.groups[row])
    return f"like {whole.store.place(first)}: {excerpt(whole, row)}"


def _overlap(whole: Whole, split: Split) -> Finding | None:
    train = numpy.unique(split.train)
    rows = train[numpy.isin(whole.groups[train], whole.groups[split.held_out])]
    rows = rows.astype(numpy.uint32)
    if not len(rows):
        return None
    is_random = whole.data.held_out in ("fraction", "grouped")
    hint = ("Drop the duplicates, or hold out by: grouped, which keeps duplicates on one side."
            if is_random else "Drop removes them from what is trained on.")
    remedies: tuple[Remedy, ...] = () if is_random else ("drop",)
    return Finding(
        "eval_overlap", "problem", "Training rows that are also held out",
        f"{rows_in_words(len(rows), 'stand')} in the training part and, exactly or nearly, also "
        "in the held-out part, so the held-out loss looks better than the model is.",
        hint, len(rows), rows, examples_of(whole, rows), remedies)


def _same_question(whole: Whole) -> Finding | None:
    """Rows that ask what another row asks, and are answered otherwise."""
    formats = numpy.array([one.format in _HAS_ANSWERS for one in whole.detections] or [False])
    asked = numpy.asarray(whole.checks["prompt"].is_valid()) & formats[whole.store.source_of]
    asked &= column(whole.checks, "flags") & Flag.FAULT == 0
    rows = numpy.flatnonzero(asked)
    prompts = first_of_equal(column(whole.checks, "prompt")[rows])
    contents = column(whole.checks, "content")[rows]
    differs = contents != contents[prompts]
    several = numpy.zeros(len(rows), dtype=bool)
    several[prompts[differs]] = True
    found = rows[several[prompts]].astype(numpy.uint32)
    if not len(found):
        return None
    return Finding(
        "same_question", "info", "One question, several answers",
        f"{rows_in_words(len(found), 'ask')} the same as another row that answers it otherwise.",
        "That is fine where several answers are right. Where they contradict each other, the model "
        "learns to guess.",
        len(found), found, examples_of(whole, found))


def _rows(flags: numpy.ndarray) -> numpy.ndarray:
    return numpy.flatnonzero(flags).astype(numpy.uint32)
