"""The evaluation of grpo and rloo: the rewards of one greedy answer to each held-out prompt.

Greedy, since two evaluations then differ by what was learned and by no chance, and since people
mostly ask a model so; TRL would draw as many answers as in training. Learns nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from studio.device import release_memory
from studio.training.answering import Answer, answer_all, fitting
from studio.training.held_out import HeldOut
from studio.training.out_of_memory import memory_lasts
from studio.training.prompts import Prompt
from studio.training.reporter import TrainReporter
from studio.training.rewards import Given, Rewarding, Written
from studio.training.setup import Setup

MOST_PROMPTS = 64
"""Further held-out prompts are not asked: writing answers takes far longer than reading them."""
_WHAT = "Answering held-out prompts"


class RewardedPart:
    """The held-out prompts with what it takes to reward their answers."""

    def __init__(self, reporter: TrainReporter, rewarding: Rewarding, setup: Setup) -> None:
        self._reporter, self._rewarding, self._setup = reporter, rewarding, setup
        self._is_limit_told = False

    def measured(self, stop: Callable[[], bool]) -> HeldOut | None:
        """Minus the mean reward as the loss, and what is measured beside it; None if stopped on
        the way, if memory ran out, or if no prompt can be asked."""
        found: list[HeldOut | None] = []
        if not memory_lasts(lambda: found.append(self._measured())):
            release_memory(self._setup.device)
            self._reporter.run.append("note", level="warning", text=(
                "Memory ran out while answering the held-out prompts: this evaluation is left out. "
                "Set reinforcement.answer_tokens lower to have it."))
            return None
        return found[0]

    def _measured(self) -> HeldOut | None:
        live = self._reporter.live
        assert live is not None and self._setup.held_out is not None
        held_out = self._setup.held_out
        self._tell_limit(len(held_out))
        rows = held_out.select(range(min(MOST_PROMPTS, len(held_out))))
        prompts = fitting(live, [Prompt(row["shown"], row["prompt_ids"], row["expected"])
                                 for row in rows])
        turns = {tuple(row["prompt_ids"]): row["turns"] for row in rows}
        answers = answer_all(live, prompts, live.recipe.reinforcement.answer_tokens, _WHAT)
        live.settle()
        if not answers:
            return None
        written = [Written(prompt.shown, turns[tuple(prompt.ids)], prompt.expected or "",
                           answer.text, answer.tokens, answer.cut)
                   for prompt, answer in zip(prompts, answers, strict=True)]
        return _held_out(answers, self._rewarding.of(written))

    def _tell_limit(self, prompts: int) -> None:
        if prompts > MOST_PROMPTS and not self._is_limit_told:
            self._is_limit_told = True
            self._reporter.run.append("note", level="info", text=(
                f"Of {prompts:,} held-out prompts the first {MOST_PROMPTS} are answered at each "
                "evaluation, to save time."))


def _held_out(answers: Sequence[Answer], given: Sequence[Given]) -> HeldOut:
    reward = math.fsum(one.total for one in given) / len(given)
    logs = {"reward": reward,
            "completions/mean_length": sum(one.tokens for one in answers) / len(answers),
            "completions/clipped_ratio": sum(one.cut for one in answers) / len(answers)}
    for name in given[0].single:
        values = [one.single[name] for one in given if not math.isnan(one.single[name])]
        if values:
            logs[f"rewards/{name}/mean"] = math.fsum(values) / len(values)
    return HeldOut(0.0 - reward, logs)  # 0.0, or no reward would be -0.0
