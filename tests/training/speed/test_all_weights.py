"""Training every weight of the base, whose head is its embedding: no speed-up changes any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import MakeRecipe
from tests.training.speed.learned import PLAIN, Learned, learned, learned_in


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe(adapter__method="none", training__max_steps=5,
                       training__learning_rate=1e-3, training__logging_steps=1)


def _resumed(settings: Settings, recipe: Recipe) -> Learned:
    """What a run learns that is stopped on its way and goes on."""
    run = create_run(settings, recipe)
    assert train(recipe, run, lambda: run.story().step >= 2, settings=settings) == "stopped"
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    return learned_in(run)


@pytest.mark.parametrize("changes", [
    {"data.loss_on": "all"},
    {"training.gradient_checkpointing": True, "training.batch_size": 2,
     "training.gradient_accumulation": 2},
], ids=["prompts learned", "checkpointing and accumulation, resumed"])
def test_all_speed_ups_together_learn_what_the_plain_path_learns(
    settings: Settings, recipe: Recipe, tiny_model: Path, changes: dict[str, Any]
) -> None:
    from safetensors.torch import load_file

    way = _resumed if "training.batch_size" in changes else learned
    fast = way(settings, recipe.with_values(changes))
    plain = learned(settings, recipe.with_values({**changes, **PLAIN}))
    assert fast.told("No padding") and fast.told("Fused layers")
    assert fast.losses == pytest.approx(plain.losses, rel=2e-6)
    assert fast.apart(plain) < 1e-3
    before = load_file(tiny_model / "model.safetensors")
    assert fast.weights.keys() == before.keys() and "lm_head.weight" not in before
    assert not any(fast.weights[name].equal(weight) for name, weight in before.items())
