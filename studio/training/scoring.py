"""Held-out prompts are answered before the training and at each evaluation, and scored.

The mean goes into the run as a `score` event, the answers into its scores.jsonl. What counts as a
good answer is `scorers.py`.
"""

from __future__ import annotations

import math
import time

from studio.recipe import Monitor
from studio.training.answering import (
    Answer,
    answer_all,
    answer_all_as_base,
    fitting,
    recalled_answers,
)
from studio.training.kept_answers import SCORES_FILE, Answered, AnswerFile
from studio.training.observer import Live
from studio.training.prompts import Prompt, held_out_prompts
from studio.training.random_states import RandomStates
from studio.training.scorers import Scorer, ScoringError
from studio.training.untrained import AsksBase

_WHAT = "Answering held-out prompts to score them"
_ROOM_TOKENS = 8
"""Beyond the longest expected answer, so that one that goes on too long is seen to."""


class Scoring(AsksBase):
    """Scores greedy answers to the same held-out prompts each time."""

    what = "the scoring of answers"

    def __init__(self, monitor: Monitor, scorer: Scorer) -> None:
        self._monitor = monitor
        self._scorer = scorer
        self._live: Live | None = None
        self._prompts: list[Prompt] = []
        self._limit_tokens = 0
        self._file: AnswerFile | None = None

    def begin(self, live: Live) -> None:
        self._live = live
        chosen = held_out_prompts(self._monitor.score_records, live.data.whole, live.tokenizer)
        self._prompts = fitting(live, chosen)
        if not self._prompts:
            live.run.append("note", level="warning", text=(
                "Answers cannot be scored: no held-out record has a prompt and an answer. Hold "
                "out a part of the data (data.eval_fraction)."))
            return
        self._limit_tokens = self._limit(live)
        self._file = AnswerFile(live.run, SCORES_FILE)
        self._file.resume_from(live.step)
        if self.owes_base(live, self._file.steps):
            self.begin_with_base(live)

    def recalls_base(self, live: Live) -> bool:
        return recalled_answers(live, self._prompts, self._limit_tokens) is not None

    def ask_base(self, live: Live) -> None:
        self._round(live, 0)

    def ended(self, step: int) -> None:
        self.settle_base()

    def evaluated(self, step: int, loss: float) -> None:
        self.settle_base()
        if self._live is not None:
            self._round(self._live, step)

    def close(self) -> None:
        self._live = None

    def _limit(self, live: Live) -> int:
        """Tokens per answer: those of the samples, or more where expected answers are longer."""
        longest = max(prompt.expected_tokens for prompt in self._prompts) + _ROOM_TOKENS
        return max(self._monitor.sample_tokens, min(longest, live.recipe.data.max_length))

    def _round(self, live: Live, step: int) -> None:
        if not self._prompts or self._file is None or step in self._file.steps or live.stop():
            return
        began = time.monotonic()
        ask = answer_all if step else answer_all_as_base
        answers = ask(live, self._prompts, self._limit_tokens, _WHAT)
        live.settle()
        if answers is None:
            return
        states = RandomStates.now()  # a function of the person's own may draw from them
        scored = self._scored(live, step, answers)
        states.restore()
        self._file.append(scored)
        value = math.fsum(one.score or 0.0 for one in scored) / len(scored)
        live.run.append("score", step=step, scorer=self._monitor.scorer, value=value,
                        count=len(scored), cut=sum(one.cut for one in scored),
                        seconds=round(time.monotonic() - began, 3))

    def _scored(self, live: Live, step: int, answers: list[Answer]) -> list[Answered]:
        """An answer on which the scorer breaks counts 0; the first such mistake is told."""
        scored, mistakes = [], []
        for prompt, found in zip(self._prompts, answers, strict=True):
            try:
                score = self._scorer(found.text, prompt.expected or "", prompt.shown)
            except ScoringError as error:
                score = 0.0
                mistakes.append(error)
            scored.append(Answered(step, prompt.shown, prompt.expected, found.text, found.tokens,
                                   round(found.seconds, 3), found.cut, score))
        if mistakes:
            live.run.append("note", level="warning", text=(
                f"{len(mistakes)} of {len(answers)} answers could not be scored and count 0. "
                f"{mistakes[0]}"))
        return scored
