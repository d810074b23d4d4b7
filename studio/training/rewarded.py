"""Some of the answers that a run was rewarded for, kept in its folder with what they got.

The answers to one prompt of a step, not of every step where there are many; read them with
`kept_answers.read_rewarded`. Neither writes nor rewards answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from studio.runs import Run
from studio.training.kept_answers import REWARDED_FILE, Answered, AnswerFile
from studio.training.rewards.rewarding import Given, Written

MOST_STEPS = 200
_ANSWERS_OF_A_STEP = 4


class RewardedAnswers:
    """The writing side."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._file: AnswerFile | None = None

    def keep(
        self, state: Any, generations: int, written: Sequence[Written], given: Sequence[Given]
    ) -> None:
        """The first answers of the step that is being taken, if it is one of those to keep.

        `state` is the trainer's; the first `generations` answers are to the same prompt.
        """
        step = state.global_step + 1
        if self._file is None:
            self._file = AnswerFile(self._run, REWARDED_FILE)
            self._file.resume_from(state.global_step)
        every = max(1, state.max_steps // MOST_STEPS)
        if (step - 1) % every or step in self._file.steps:
            return
        some = min(generations, _ANSWERS_OF_A_STEP)
        self._file.append([
            Answered(step, one.prompt, one.expected or None, one.text, one.tokens, 0.0, one.cut,
                     round(got.total, 6), number, _finite(got.single))
            for number, (one, got) in enumerate(zip(written[:some], given[:some], strict=True))])


def _finite(single: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in single.items() if not math.isnan(value)}
