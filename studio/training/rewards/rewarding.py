"""The rewards of a recipe for the trainer: what each function gives for each answer.

Knows no groups and no advantages: those are the trainer's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.recipe import Recipe
from studio.runs import Run
from studio.training.random_states import RandomStates
from studio.training.rewards.length import length_reward
from studio.training.rewards.named import Named, require_rewards, rewards_named
from studio.training.scorers import (
    Scorer,
    ScoringError,
    contains,
    exact_match,
    json_equal,
    json_valid,
    own_function,
    regex,
    similarity,
    without_reasoning,
)

if TYPE_CHECKING:
    from studio.device import Device
    from studio.settings import Settings


@dataclass(frozen=True)
class Written:
    """An answer that the model wrote. `expected` is the record's own, empty where it has none.

    `prompt` is as a person reads it, `turns` are its turns as JSON. `tokens` counts the answer's
    without the one that ends it; `cut`: it was not over at the limit.
    """

    prompt: str
    turns: str
    expected: str
    text: str
    tokens: int
    cut: bool


@dataclass(frozen=True)
class Given:
    """What an answer got: `single` by the reward's name, not a number where its function broke;
    `total` is their weighted sum."""

    single: dict[str, float]
    total: float


_Reward = Callable[[Sequence[Written]], list[float]]


class Rewarding:
    """The rewards of `recipe`, ready to be asked; the run is told where a function breaks.

    Making one loads the person's own functions and trained reward models. Raises RecipeError or
    RunError where one cannot be had.
    """

    def __init__(
        self, recipe: Recipe, run: Run, settings: Settings | None, device: Device
    ) -> None:
        self._run = run
        self.named = rewards_named(recipe.reinforcement.rewards)
        self._functions = [_function(one, settings, device) for one in self.named]
        self._told: set[str] = set()

    @property
    def names(self) -> list[str]:
        """As the recipe names them."""
        return [one.text for one in self.named]

    @property
    def weights(self) -> list[float]:
        """Of each, in the same order."""
        return [one.weight for one in self.named]

    def of(self, answers: Sequence[Written]) -> list[Given]:
        """What each answer gets. Raises ScoringError where a function breaks on every one."""
        states = RandomStates.now()  # a function of the person's own may draw from them
        try:
            columns = [self._asked(one, function, answers)
                       for one, function in zip(self.named, self._functions, strict=True)]
        finally:
            states.restore()
        return [self._given(row) for row in zip(*columns, strict=True)]

    def _given(self, row: tuple[float, ...]) -> Given:
        total = math.fsum(weight * value for weight, value in zip(self.weights, row, strict=True)
                          if not math.isnan(value))
        return Given(dict(zip(self.names, row, strict=True)), total)

    def _asked(self, one: Named, function: _Reward, answers: Sequence[Written]) -> list[float]:
        """Not a number where the function breaks: the trainer then leaves it out for the answer."""
        try:
            return function(answers)
        except ScoringError:
            return self._one_by_one(one, function, answers)

    def _one_by_one(
        self, one: Named, function: _Reward, answers: Sequence[Written]
    ) -> list[float]:
        values, mistakes = [], []
        for answer in answers:
            try:
                values += function([answer])
            except ScoringError as error:
                values.append(math.nan)
                mistakes.append(error)
        if len(mistakes) == len(answers):
            raise mistakes[0]
        if mistakes and one.text not in self._told:
            self._told.add(one.text)
            self._run.append("note", level="warning", text=(
                f"The reward {one.text} could not be computed for {len(mistakes)} of "
                f"{len(answers)} answers, which go without it. {mistakes[0]}"))
        return values


def check_rewards(recipe: Recipe) -> None:
    """Raise RecipeError or RunError for what is wrong with a recipe's rewards, as far as that can
    be known before a model is loaded."""
    require_rewards(recipe)
    for one in rewards_named(recipe.reinforcement.rewards):
        if one.kind not in ("length", "model"):
            scorer_of(one)


def _function(one: Named, settings: Settings | None, device: Device) -> _Reward:
    if one.kind == "length":
        wanted = int(one.argument)
        return lambda answers: [length_reward(answer.tokens, wanted) for answer in answers]
    if one.kind == "model":
        from studio.training.rewards.judge import judge_of

        return judge_of(one, settings, device)
    scorer = scorer_of(one)
    return lambda answers: [
        scorer(without_reasoning(answer.text), without_reasoning(answer.expected), answer.prompt)
        for answer in answers]


def scorer_of(one: Named) -> Scorer:
    """Raises RecipeError or RunError where the pattern or the function cannot be had."""
    match one.kind:
        case "contains":
            return contains(one.argument)
        case "regex":
            return regex(one.argument, one.field)
        case "python":
            return own_function(one.argument, one.field, is_share=False)
    return {"similarity": similarity, "exact_match": exact_match, "json_valid": json_valid,
            "json_equal": json_equal}[one.kind]
