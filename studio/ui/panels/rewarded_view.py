"""The answers that a run was rewarded for, with what each got: pure functions to HTML.

The newest stand open, earlier ones behind a line that opens them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.runs import Run
    from studio.training.kept_answers import Answered

EARLIER_SHOWN = 20
"""Steps between the first and the newest, evenly spread."""


def rewarded_view(run: Run) -> str:
    """Empty for a run that has written no answers of its own."""
    from studio.training.kept_answers import read_rewarded

    return answers_view(read_rewarded(run))


def answers_view(answers: Sequence[Answered]) -> str:
    """The answers of several steps, by step; empty without any."""
    steps = [list(group) for _, group in itertools.groupby(answers, key=lambda one: one.step)]
    if not steps:
        return ""
    earlier = _spread(steps[:-1], EARLIER_SHOWN)
    folded = (f"<details><summary>Answers of {len(earlier)} earlier step"
              f"{'s' if len(earlier) > 1 else ''}</summary>"
              f"{''.join(map(_step, reversed(earlier)))}</details>" if earlier else "")
    return f'<div class="answer-times rewarded">{_step(steps[-1])}{folded}</div>'


def _spread(steps: list[list[Answered]], most: int) -> list[list[Answered]]:
    if len(steps) <= most:
        return steps
    return [steps[at * (len(steps) - 1) // (most - 1)] for at in range(most)]


def _step(answers: Sequence[Answered]) -> str:
    """One prompt with its answers, the best first."""
    first = answers[0]
    expected = ("" if first.expected is None else
                '<div class="answer-row answer-expected"><span>Expected</span>'
                f"<div>{escape(first.expected)}</div></div>")
    ordered = sorted(answers, key=lambda one: -(one.score or 0.0))
    return (f'<section class="answer-time"><h4>Step {first.step:,}: {escape(first.prompt)}</h4>'
            f"{expected}{''.join(map(_row, ordered))}</section>")


def _row(one: Answered) -> str:
    shown = escape(one.answer) if one.answer.strip() else '<span class="quiet">nothing</span>'
    cut = '<span class="quiet" title="Longer answers are cut"> …</span>' if one.cut else ""
    return (f'<div class="answer-row"><span title="{escape(_parts(one))}">'
            f"{one.score or 0:+.2f}</span><div>{shown}{cut}</div></div>")


def _parts(one: Answered) -> str:
    """What each function gave, and how long the answer is."""
    parts = [f"{name}: {value:g}" for name, value in one.rewards.items()]
    return ", ".join([*parts, f"{one.tokens:,} tokens"])
