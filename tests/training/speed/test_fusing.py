"""Fused layers and the head in one pass teach what the libraries' own arithmetic teaches.

In 32 bits sums are in another order, nothing else: losses agree to 1e-5. In 16 bits an adapter is
multiplied in 16 bits, as under autocast; bfloat16 keeps 8 bits (0.4 %), so losses agree to 1 %.
"""

from __future__ import annotations

from typing import Any

import pytest

from studio.recipe import Recipe
from studio.settings import Settings
from tests.training.conftest import MakeRecipe
from tests.training.speed.learned import PLAIN, learned


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe(training__max_steps=6, training__learning_rate=3e-3,
                       training__logging_steps=1)


_CASES: dict[str, dict[str, Any]] = {
    "no padding": {},
    "padding": {"speed.join_rows": False},
    "checkpointing": {"training.gradient_checkpointing": True},
    "accumulation": {"training.batch_size": 2, "training.gradient_accumulation": 2},
    "prompts learned, every linear layer": {"data.loss_on": "all",
                                            "adapter.targets": "all-linear",
                                            "adapter.use_rslora": True},
}


@pytest.mark.parametrize("case", _CASES)
def test_all_speed_ups_together_learn_what_the_plain_path_learns(
    settings: Settings, recipe: Recipe, case: str
) -> None:
    fast = learned(settings, recipe.with_values(_CASES[case]))
    plain = learned(settings, recipe.with_values({**_CASES[case], **PLAIN}))
    assert fast.losses == pytest.approx(plain.losses, rel=1e-5)
    assert fast.apart(plain) < 1e-2
    assert fast.told("Fused layers")
    assert sum("as asked" in choice for choice in plain.choices) >= 3


def test_packed_rows_are_fused_as_well(settings: Settings, recipe: Recipe) -> None:
    packed = recipe.with_values({"data.packing": True, "training.batch_size": 1})
    fast = learned(settings, packed)
    plain = learned(settings, packed.with_values({"speed.fused_layers": False}))
    assert fast.losses == pytest.approx(plain.losses, rel=1e-5)
    assert fast.apart(plain) < 1e-2


def test_in_16_bits_the_losses_agree_within_rounding(settings: Settings, recipe: Recipe) -> None:
    short = recipe.with_values({"model.dtype": "bfloat16"})
    fast = learned(settings, short)
    plain = learned(settings, short.with_values(PLAIN))
    assert fast.losses == pytest.approx(plain.losses, rel=1e-2)
    assert fast.losses[-1] < fast.losses[0]


@pytest.mark.parametrize("values", [
    {"adapter.dropout": 0.1}, {"adapter.use_dora": True}, {"adapter.method": "ia3"}])
def test_other_adapters_stay_peft_s_own_and_draw_the_same_random_numbers(
    settings: Settings, recipe: Recipe, values: dict[str, Any]
) -> None:
    fast = learned(settings, recipe.with_values(values))
    plain = learned(settings, recipe.with_values({**values, "speed.fused_layers": False}))
    assert fast.losses == pytest.approx(plain.losses, rel=1e-4)
    assert fast.apart(plain) < 1e-2
