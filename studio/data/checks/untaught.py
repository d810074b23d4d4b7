"""Findings about rows that are not taught, or not whole: unreadable, faulty, cut by max_length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from studio.data.checks.personal import masked
from studio.data.checks.shown import MOST_SHOWN, examples_of, rows_in_words
from studio.data.findings import Finding, Remedy, Shown
from studio.data.records import LEFT_OUT

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole

_PROBLEMS_NAMED = 3

_FAULTS: dict[str, tuple[str, str]] = {
    "missing_part": ("A part is missing", "Complete the rows, or say in the columns which column "
                     "plays which part."),
    "no_answer": ("No answer to learn from", "Add the answer, or drop these rows."),
    "empty_answer": ("Empty answers", "An empty answer would teach the model to say nothing. Write "
                     "one, or drop these rows."),
    "role_order": ("Turns out of order", "Fix joins neighbouring turns of one speaker, moves a "
                   "system turn to the front, and removes what stands before the first question."),
    "unknown_role": ("Unknown speakers", "The known ones are system, user, assistant and tool."),
    "bad_turn": ("Turns that cannot be read", "Give every turn a role and a text."),
    "template": ("The chat template refuses these rows", "Correct the rows, or choose another chat "
                 "template."),
}
FIXABLE_FAULTS = ("role_order",)


def untaught_findings(whole: Whole) -> list[Finding]:
    """What was found; an empty list where every row is taught from end to end."""
    found = [_unreadable(whole), _read_otherwise(whole), *_faults(whole), _nothing_learned(whole),
             _truncated(whole)]
    return [finding for finding in found if finding is not None]


def _unreadable(whole: Whole) -> Finding | None:
    count = sum(source.total - source.readable for source in whole.sources)
    if not count:
        return None
    problems = [problem for problem in whole.problems if problem.kind in LEFT_OUT]
    return Finding(
        "unreadable", "problem", "Records that cannot be read",
        f"{'1 record was' if count == 1 else f'{count:,} records were'} left out. "
        + "; ".join(map(str, problems[:_PROBLEMS_NAMED])),
        "The rest of the file is used. A cleaned copy leaves them behind.", count=count)


def _read_otherwise(whole: Whole) -> Finding | None:
    """Notes on records that were read all the same, and on files that were not."""
    notes = [problem for problem in whole.problems if problem.kind not in LEFT_OUT]
    count = sum(number for kind, number in whole.store.facts.problem_counts.items()
                if kind not in LEFT_OUT)
    if not count:
        return None
    return Finding("read_otherwise", "info", "Read otherwise than written",
                   "; ".join(map(str, notes[:_PROBLEMS_NAMED])), count=count)


def _faults(whole: Whole) -> list[Finding]:
    """One finding for each kind of fault, the most frequent first."""
    kinds = numpy.asarray(whole.faults["kind"].to_numpy(zero_copy_only=False), dtype=str)
    numbers = whole.faults["row"].to_numpy()
    names, counts = numpy.unique(kinds, return_counts=True)
    return [_fault(whole, str(names[at]), numpy.flatnonzero(kinds == names[at]), numbers)
            for at in numpy.argsort(-counts, kind="stable")]


def _fault(whole: Whole, kind: str, entries: numpy.ndarray, numbers: numpy.ndarray) -> Finding:
    title, hint = _FAULTS.get(kind, ("Rows that cannot be taught", "Correct or drop them."))
    first = whole.faults.take(entries[:MOST_SHOWN]).to_pylist()
    shown = tuple(Shown(one["row"], whole.store.place(one["row"]), masked(one["what"]))
                  for one in first)
    rows = numpy.unique(numbers[entries]).astype(numpy.uint32)
    remedies: tuple[Remedy, ...] = ("fix", "drop") if kind in FIXABLE_FAULTS else ("drop",)
    return Finding(
        kind, "problem", title,
        f"{rows_in_words(len(rows), 'cannot')} be taught and would be left out of the training; "
        f"the first: {shown[0].text}",
        hint, len(rows), rows, shown, remedies)


def _nothing_learned(whole: Whole) -> Finding | None:
    """Rows without a learned token before the cut, mostly since the prompt fills it."""
    lengths = whole.lengths
    if lengths is None:
        return None
    cut_at = whole.data.max_length
    rows = _rows((lengths.first_loss >= cut_at) & ~whole.faulty)
    if not len(rows):
        return None
    longest = int(lengths.total[rows].max())
    hint = f"Set the maximum length to {longest:,} to keep them whole, or shorten the prompts." \
        if longest > cut_at else "Write a longer text, or drop these rows."
    return Finding(
        "no_loss", "problem", "Nothing of the answer is left to learn",
        f"In {rows_in_words(len(rows))} no token before the maximum length of {cut_at:,} is learned"
        f"{', for the prompt alone is longer' if longest > cut_at else ''}. Such rows are left out "
        "of the training.",
        hint, len(rows), rows,
        examples_of(whole, rows, lambda row: f"{int(lengths.total[row]):,} tokens"), ("drop",))


def _truncated(whole: Whole) -> Finding | None:
    lengths = whole.lengths
    if lengths is None or whole.data.divides:
        return None
    rows = _rows((lengths.total > whole.data.max_length) & whole.teachable)
    if not len(rows):
        return None
    cut = lengths.total[rows]
    taught = max(1, int(whole.teachable.sum()))
    return Finding(
        "truncated", "warning", "Examples that are cut off",
        f"{rows_in_words(len(rows), 'are')} longer than the maximum length of "
        f"{whole.data.max_length:,} tokens ({len(rows) / taught:.1%} of the examples) and lose "
        "the end, with it the sign that the answer is over.",
        f"The longest has {int(cut.max()):,} tokens: set the maximum length to that to keep all of "
        "them, at the price of memory, or drop them.",
        len(rows), rows,
        examples_of(whole, rows, lambda row: f"{int(lengths.total[row]):,} tokens"), ("drop",))


def _rows(flags: numpy.ndarray) -> numpy.ndarray:
    return numpy.flatnonzero(flags).astype(numpy.uint32)
