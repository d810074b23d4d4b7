"""A trainer for a recipe's method, ready for `train()`: TRL's class with the studio's changes.

The methods themselves are in `methods/`, one file for each family.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from studio.recipe import Recipe
from studio.runs import Run
from studio.settings import Settings
from studio.training.adalora import RankAllocation
from studio.training.guard import StepGuard
from studio.training.reporter import TrainReporter
from studio.training.setup import Setup

_FAMILY = {"sft": "supervised", "pretrain": "supervised", "dpo": "preference",
           "orpo": "preference", "kto": "judged", "reward": "reward_model",
           "grpo": "reinforcement", "rloo": "reinforcement"}
"""training.method -> the file in `methods/` that makes its trainer."""


def check_method(recipe: Recipe, settings: Settings) -> None:
    """Raise RecipeError where the recipe's settings do not go with its training method.

    Asked before anything is loaded; the family's file says what it needs in a `check(recipe)`,
    and of other runs in a `check_runs(recipe, settings)`.
    """
    family = _family(recipe.training.method)
    if hasattr(family, "check"):
        family.check(recipe)
    if hasattr(family, "check_runs"):
        family.check_runs(recipe, settings)


def make_trainer(recipe: Recipe, run: Run, setup: Setup, reporter: TrainReporter) -> Any:
    """A trainer that is ready for `train()`. Seeds torch with the recipe's training seed."""
    from transformers import PrinterCallback

    # What the libraries will rename later is nothing to tell the person about.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft)\.")
    trainer = _family(recipe.training.method).make(recipe, run, setup, reporter)
    trainer.remove_callback(PrinterCallback)
    trainer.reporter, trainer.recipe = reporter, recipe
    reporter.evaluate = trainer.evaluate
    trainer.guard = StepGuard(scales=setup.precision.autocast == "float16")
    if not recipe.adapter.trains_base:
        _adapter_in_float32(setup.model)
    trainer.lengths = setup.lengths
    setup.layers.put_on(setup.model)
    if recipe.adapter.method == "adalora":
        trainer.allocation = RankAllocation(trainer)
    return trainer


def _family(method: str) -> Any:
    return importlib.import_module(f"studio.training.methods.{_FAMILY[method]}")


def _adapter_in_float32(model: Any) -> None:
    """TRL rounds the adapter of a quantised base to bfloat16, which swallows small updates."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
