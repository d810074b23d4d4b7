"""Fused layers and the head in one pass teach what the libraries' own arithmetic teaches.

In 32 bits sums are in another order, nothing else: losses agree to 1e-5. In 16 bits an adapter is
multiplied in 16 bits, as under autocast; bfloat16 keeps 8 bits (0.4 %), so losses agree to 1 %.
"""

from __future__ import annotations

from typing import Any

import pytest

from studio.progress import never
from studio.recipe import Recipe
from studio.runs import create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import MakeRecipe

_STEPS, _RATE = 6, 3e-3
_FARTHEST = _STEPS * _RATE
"""Adam moves no weight much farther."""


def _trained(settings: Settings, recipe: Recipe) -> tuple[list[float], dict[str, Any], list[str]]:
    """Losses, the adapter's weights, and the choices that the run tells."""
    from safetensors.torch import load_file

    run = create_run(settings, recipe)
    assert train(recipe, run, never, settings=settings) == "done"
    events = run.events()
    losses = [event["loss"] for event in events if event["type"] == "log"]
    choices = next(event["choices"] for event in events if event["type"] == "plan")
    return losses, load_file(run.adapter_path / "adapter_model.safetensors"), choices


def _mean_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Of all weights, by the farthest that one can have moved."""
    apart = sum(float((one[name] - other[name]).abs().sum()) for name in other)
    return apart / sum(weight.numel() for weight in other.values()) / _FARTHEST


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe(training__max_steps=_STEPS, training__learning_rate=_RATE,
                       training__logging_steps=1)


_PLAIN = {"speed.fused_layers": False, "speed.join_rows": False,
          "speed.skip_prompt_logits": False}
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
    losses, weights, choices = _trained(settings, recipe.with_values(_CASES[case]))
    plain, others, told = _trained(settings, recipe.with_values({**_CASES[case], **_PLAIN}))
    assert len(losses) == _STEPS and losses == pytest.approx(plain, rel=1e-5)
    assert _mean_difference(weights, others) < 1e-2
    assert any("Fused layers" in choice for choice in choices)
    assert sum("as asked" in choice for choice in told) >= 3


def test_packed_rows_are_fused_as_well(settings: Settings, recipe: Recipe) -> None:
    packed = recipe.with_values({"data.packing": True, "training.batch_size": 1})
    losses, weights, _ = _trained(settings, packed)
    plain, others, _ = _trained(settings, packed.with_values({"speed.fused_layers": False}))
    assert losses == pytest.approx(plain, rel=1e-5)
    assert _mean_difference(weights, others) < 1e-2


def test_in_16_bits_the_losses_agree_within_rounding(settings: Settings, recipe: Recipe) -> None:
    short = recipe.with_values({"model.dtype": "bfloat16"})
    losses, _, _ = _trained(settings, short)
    plain, _, _ = _trained(settings, short.with_values(_PLAIN))
    assert losses == pytest.approx(plain, rel=1e-2)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("values", [
    {"adapter.dropout": 0.1}, {"adapter.use_dora": True}, {"adapter.method": "ia3"}])
def test_other_adapters_stay_peft_s_own_and_draw_the_same_random_numbers(
    settings: Settings, recipe: Recipe, values: dict[str, Any]
) -> None:
    losses, weights, _ = _trained(settings, recipe.with_values(values))
    plain, others, _ = _trained(settings, recipe.with_values(
        {**values, "speed.fused_layers": False}))
    assert losses == pytest.approx(plain, rel=1e-4)
    assert _mean_difference(weights, others) < 1e-2
