"""Continued pre-training: a model goes on reading, for real, and knows the text better after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.runs import create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import MakeRecipe, losses_of


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with a long document, and some short ones that are like it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for number, pages in enumerate((30, 2, 3, 1, 4, 2)):
        text = "\n\n".join(f"Page {page}. The capital of France is Paris. Two pizzas and a cola."
                           for page in range(pages))
        (folder / f"{number}.md").write_text(text, encoding="utf-8")
    return folder


def _recipe(make_recipe: MakeRecipe, shelf: Path, **changes: Any) -> Any:
    return make_recipe(training__method="pretrain", data__source=str(shelf),
                       data__max_length=64,
                       **{"training__learning_rate": 1e-2, "adapter__rank": 32, **changes})


@pytest.mark.parametrize("packing", [True, False])
def test_the_loss_on_the_text_falls_and_plain_peft_measures_the_same(
    settings: Settings, make_recipe: MakeRecipe, shelf: Path, tiny_model: Path, packing: bool
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    recipe = _recipe(make_recipe, shelf, training__max_steps=30, data__eval_fraction=0.2,
                     training__eval_steps=15, data__packing=packing)
    run = create_run(settings, recipe, "run")
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    losses = losses_of(run)
    evaluations = [event["loss"] for event in run.events() if event["type"] == "eval"]
    assert losses[30] < losses[1] - 0.6
    assert evaluations[-1] < evaluations[0]

    tokenizer = AutoTokenizer.from_pretrained(run.adapter_path)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    text = (shelf / "2.md").read_text(encoding="utf-8")
    ids = torch.tensor([tokenizer(text)["input_ids"][:64]])
    with torch.no_grad():
        before = float(base(input_ids=ids, labels=ids).loss)
        model = PeftModel.from_pretrained(base, str(run.adapter_path)).eval()
        after = float(model(input_ids=ids, labels=ids).loss)
    assert after < before - 0.6


@pytest.mark.parametrize("changes", [
    {"data__packing": True, "data__eval_fraction": 0.2, "training__eval_steps": 2},
    {"adapter__method": "none", "training__learning_rate": 1e-3},
], ids=str)
def test_a_stopped_run_goes_on_to_the_very_losses_of_an_uninterrupted_one(
    settings: Settings, make_recipe: MakeRecipe, shelf: Path, changes: dict[str, Any]
) -> None:
    recipe = _recipe(make_recipe, shelf, training__max_steps=6, **changes)
    whole, parts = (create_run(settings, recipe, name) for name in ("whole", "parts"))
    assert train(recipe, whole, lambda: False, settings=settings) == "done"
    assert train(recipe, parts, lambda: parts.story().step >= 3, settings=settings) == "stopped"
    assert train(recipe, parts, lambda: False, settings=settings, resume=True) == "done"
    assert losses_of(parts) == losses_of(whole)


def test_a_pass_over_the_text_has_as_many_steps_as_its_rows_ask_for(
    settings: Settings, make_recipe: MakeRecipe, shelf: Path
) -> None:
    from studio.data.prepare import prepare
    from studio.models import find_model, load_tokenizer

    recipe = _recipe(make_recipe, shelf, training__max_steps=0, training__epochs=1)
    tokenizer = load_tokenizer(find_model(recipe.model.source, settings))
    rows = len(prepare(recipe, tokenizer, settings).train)
    assert rows > 12
    run = create_run(settings, recipe, "run")
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    plan = run.story().plan
    assert plan["train_examples"] == rows
    assert plan["total_steps"] == -(-rows // 4)
