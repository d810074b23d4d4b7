"""What each training method computes in a step, as far as memory is concerned.

Read from TRL 1.16's trainers. Preferences join the chosen and the rejected answer in one batch. The
reference is asked without gradients: by switching the adapter off, or, where every weight is
trained, with a second copy of the model. Methods that learn from their own answers write them
first, and ask the reference about them before anything is kept for a gradient. All but the reward
model compute the head tile by tile, as supervised tuning does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio.recipe.usual import reinforcement_beta

if TYPE_CHECKING:
    from studio.recipe import Recipe

Objective = Literal["sft", "pretrain", "dpo", "kto", "orpo", "reward", "grpo", "rloo"]


WRITTEN_TOGETHER = 4
"""So many micro-batches of answers are written at once: without gradients they need less memory
than one that is learned from."""


@dataclass(frozen=True)
class StepOf:
    """`rows` of each example; `compares` with a reference, whatever its beta; `writes` answers
    itself, and compares only where beta is not 0; `scores` answers with one number instead of
    predicting tokens; `joins`: examples may share a row instead of being padded."""

    rows: int = 1
    compares: bool = False
    writes: bool = False
    scores: bool = False
    joins: bool = False


OBJECTIVES: dict[Objective, StepOf] = {
    "sft": StepOf(joins=True),
    "pretrain": StepOf(joins=True),
    "dpo": StepOf(rows=2, compares=True),
    "kto": StepOf(compares=True),
    "orpo": StepOf(rows=2),
    "reward": StepOf(rows=2, scores=True),
    "grpo": StepOf(writes=True),
    "rloo": StepOf(writes=True),
}


def compares(recipe: Recipe) -> bool:
    """Whether a step of `recipe` asks the model as it was before training too."""
    step = OBJECTIVES[recipe.training.method]
    return reinforcement_beta(recipe) > 0 if step.writes else step.compares


def keeps_start_copy(recipe: Recipe) -> bool:
    """Whether a copy of the adapter's start stays in memory and in checkpoints: the base with the
    adapter off is not what it is compared with."""
    return compares(recipe) and recipe.adapter.starts_from_base
