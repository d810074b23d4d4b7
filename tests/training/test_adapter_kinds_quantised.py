"""Every kind of adapter over a base in 4 and 8 bits, on the CPU: trained, resumed, reloaded.

Slow, since bitsandbytes is; that 4 and 8 bits train at all is in the tests of quantised bases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.export.merge import merge
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import MakeRecipe
from tests.training.test_adapter_kinds import STEPS, WAYS, losses_of, plain_loss, recipe_of

KINDS = ("lora", "lora_plus", "adalora", "vera", "ia3", "oft", "prompt_tuning", "prefix_tuning")


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
@pytest.mark.parametrize("way", KINDS)
def test_each_kind_learns_over_a_quantised_base(
    settings: Settings, make_recipe: MakeRecipe, way: str, bits: str
) -> None:
    check(settings, recipe_of(make_recipe, {**WAYS[way], "model__quantization": bits}), bits)


def test_loftq_learns_over_a_4_bit_base_and_is_merged_into_the_rounded_weights(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    recipe = recipe_of(make_recipe, {"model__quantization": "4bit", "adapter__init": "loftq",
                                     "training__learning_rate": 1e-2})
    run = check(settings, recipe, "4bit")
    merged = merge(run.path, tmp_path / "merged", settings)
    assert "LoftQ" in merged.notes[0]
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        whole = AutoModelForCausalLM.from_pretrained(merged.path)(input_ids=ids).logits
        # In evaluation mode bitsandbytes computes in 16 bits on a CPU.
        apart = quantised_model(recipe, run, "4bit").train()(input_ids=ids).logits
    assert (whole - apart).abs().max() < 1e-3 * apart.std()


def check(settings: Settings, recipe: Recipe, bits: str) -> Run:
    run = create_run(settings, recipe, "parts")
    assert train(recipe, run, lambda: run.story().step >= 3, settings=settings) == "stopped"
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    losses = losses_of(trained(settings, recipe, "whole"))
    assert losses_of(run) == losses
    assert min(losses[STEPS], losses[STEPS - 1]) < losses[1]
    plain = quantised_model(recipe, run, bits)
    # One example at a time, 8-bit products round their inputs by other outliers.
    near = 1e-3 if bits == "4bit" else 2e-2
    assert plain_loss(plain, recipe, settings) == pytest.approx(run.story().evals[-1][1], rel=near)
    return run


def trained(settings: Settings, recipe: Recipe, name: str) -> Run:
    run = create_run(settings, recipe, name)
    train(recipe, run, lambda: False, settings=settings)
    return run


def quantised_model(recipe: Recipe, run: Run, bits: str) -> Any:
    """The result over the quantised base, as anybody else would load it."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_8bit=True) if bits == "8bit" else BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(
        recipe.model.source, dtype=torch.float32, quantization_config=config)
    return PeftModel.from_pretrained(base, str(run.adapter_path))
