"""AdaLoRA ends at the rank it was asked for, and its regulariser stays out of the losses."""

from __future__ import annotations

import json

import pytest

from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.adalora import distance_from_orthogonal, phases
from studio.training.loop import train
from tests.training.conftest import MakeRecipe


@pytest.mark.parametrize(("steps", "expected"), [
    (1, (0, 0)), (2, (0, 1)), (10, (1, 3)), (1000, (100, 300))])
def test_rank_is_taken_away_between_a_beginning_and_an_end(
    steps: int, expected: tuple[int, int]
) -> None:
    assert phases(steps) == expected
    first, last = expected
    assert first < steps - last


def test_the_ranks_add_up_to_what_was_asked_and_the_losses_are_the_models_own(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    runs = {}
    for method in ("lora", "adalora"):
        recipe = make_recipe(adapter__method=method, adapter__rank=4, training__max_steps=10,
                             training__learning_rate=1e-2)
        runs[method] = create_run(settings, recipe, method)
        train(recipe, runs[method], lambda: False, settings=settings)
    # Both start as nothing, so the first loss is that of the base.
    assert _first(runs["adalora"]) == pytest.approx(_first(runs["lora"]), abs=1e-5)
    config = json.loads((runs["adalora"].adapter_path / "adapter_config.json").read_text("utf-8"))
    ranks = [sum(kept) for kept in config["rank_pattern"].values()]
    assert sum(ranks) == 4 * len(ranks)
    assert len(set(ranks)) > 1
    assert config["init_r"] == 6


def test_the_regulariser_is_pefts() -> None:
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from studio.adapters import peft_config
    from studio.models.shape import shape_of_config
    from studio.recipe import Adapter
    from tests.adapters.families import config_of

    config = config_of("llama")
    model = get_peft_model(AutoModelForCausalLM.from_config(config), peft_config(
        Adapter(method="adalora"), shape_of_config(config)))
    ids = torch.arange(3, 20)[None]
    own = model(input_ids=ids, labels=ids).loss
    model.peft_config["default"].orth_reg_weight = 0.0
    without = model(input_ids=ids, labels=ids).loss
    torch.testing.assert_close(own - without, 0.5 * distance_from_orthogonal(model),
                               rtol=1e-4, atol=1e-5)


def _first(run: Run) -> float:
    return run.story().points[0].loss
