"""What is asked of the base comes after the first step, is the same as before it, and is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from studio.models.shape import model_shape
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training import untrained
from studio.training.kept_answers import read_samples
from studio.training.loop import train
from tests.tiny import make_tiny_model
from tests.training.conftest import MakeRecipe

WATCHED = {"monitor__forgetting": True, "monitor__sample_records": 3, "monitor__sample_tokens": 6,
           "monitor__scorer": "contains", "monitor__scorer_value": "a",
           "monitor__score_records": 3, "data__eval_fraction": 0.2, "training__max_steps": 2}


def _train(settings: Settings, recipe: Recipe, name: str) -> Run:
    run = create_run(settings, recipe, name)
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    return run


def _order(run: Run) -> list[tuple[str, int]]:
    kinds = ("log", "forgetting", "score", "samples")
    return [(event["type"], event["step"]) for event in run.events() if event["type"] in kinds]


def _asked_of_base(run: Run) -> list[Any]:
    found: list[Any] = [event["loss"] for event in run.events()
                        if event["type"] == "forgetting" and event["step"] == 0]
    found += [event["value"] for event in run.events()
              if event["type"] == "score" and event["step"] == 0]
    return found + [(one.prompt, one.answer) for one in read_samples(run) if one.step == 0]


def test_the_first_step_comes_first_and_the_base_says_the_same_as_before_it(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(**WATCHED)
    with monkeypatch.context() as patch:
        patch.setattr(untrained, "starts_as_nothing", lambda adapter: False)
        before = _train(settings, recipe, "before")
    after = _train(settings, recipe, "after")
    again = _train(settings, recipe, "again")

    asked = [("forgetting", 0), ("score", 0), ("samples", 0)]
    assert _order(before)[:4] == [*asked, ("log", 1)]
    assert _order(after)[:4] == [("log", 1), *asked]
    assert _order(again)[:4] == [*asked, ("log", 1)]  # remembered, so there is nothing to wait for
    assert len(_asked_of_base(before)) == 5
    assert _asked_of_base(before) == _asked_of_base(after) == _asked_of_base(again)
    losses = [[point.loss for point in run.story().points] for run in (before, after, again)]
    assert losses[0] == losses[1] == losses[2]


def test_another_base_is_asked_itself(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    other = make_tiny_model(tmp_path / "other", seed=1)
    one = _train(settings, make_recipe(**WATCHED), "one")
    two = _train(settings, make_recipe(**WATCHED, model__source=str(other)), "two")
    assert _order(two)[0] == ("log", 1)
    assert _asked_of_base(one) != _asked_of_base(two)


@pytest.mark.parametrize("values", [
    {"method": "lora"}, {"method": "lora", "init": "gaussian", "use_rslora": True},
    {"method": "lora", "modules_to_save": ["lm_head"]}, {"method": "adalora"},
    {"method": "vera"}, {"method": "ia3"},
], ids=lambda values: "-".join(str(value) for value in values.values()))
def test_an_adapter_that_starts_as_nothing_changes_no_bit(
    settings: Settings, tiny_model: Path, values: dict[str, Any]
) -> None:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from studio.adapters.methods import peft_config

    adapter = Recipe().with_values(
        {f"adapter.{key}": value for key, value in values.items()}).adapter
    assert untrained.starts_as_nothing(adapter)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).eval()
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        alone = base(input_ids=ids).logits
        model = get_peft_model(base, peft_config(adapter, model_shape(str(tiny_model), settings)))
        model.eval()
        together = model(input_ids=ids).logits
        with model.disable_adapter():
            off = model(input_ids=ids).logits
    assert torch.equal(alone, together) and torch.equal(alone, off)


@pytest.mark.parametrize("values", [
    {"init": "pissa"}, {"use_dora": True}, {"bias": "all"}, {"method": "prompt_tuning"},
    {"method": "none"},
], ids=lambda values: "-".join(str(value) for value in values.values()))
def test_others_are_asked_before_the_first_step(values: dict[str, Any]) -> None:
    recipe = Recipe().with_values({f"adapter.{key}": value for key, value in values.items()})
    assert not untrained.starts_as_nothing(recipe.adapter)
