"""How many optimizer steps a run takes, counted before there is a trainer."""

from __future__ import annotations

import math

from studio.hardware.objectives import OBJECTIVES
from studio.recipe import Recipe


def answers_per_row(recipe: Recipe) -> int:
    """So many examples are made of each row."""
    writes = OBJECTIVES[recipe.training.method].writes
    return recipe.reinforcement.generations if writes else 1


def total_steps(recipe: Recipe, rows: int) -> int:
    """Optimizer steps of the whole run, as transformers' trainer counts them."""
    wanted = recipe.training
    if wanted.max_steps:
        return wanted.max_steps
    micro_batches = math.ceil(rows * answers_per_row(recipe) / wanted.batch_size)
    steps = math.ceil(micro_batches / wanted.gradient_accumulation)
    if OBJECTIVES[wanted.method].writes:
        steps *= recipe.reinforcement.iterations
    return math.ceil(wanted.epochs * steps)
