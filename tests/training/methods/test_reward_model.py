"""A reward model learns which answer is better, loads elsewhere, judges, and is no writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.device import pick_device
from studio.errors import ExportError, ModelError, RunError
from studio.export.origin import find_origin
from studio.runs import Run
from studio.settings import Settings
from studio.training.judge import load_judge
from studio.training.observer import observers_for
from tests.training.conftest import MakeRecipe, losses_of
from tests.training.methods.conftest import PAIRS, resumed_to, trained


def conversation(row: dict[str, str], kind: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row[kind]}]


def _plain_rewards(run: Run, base: Path, texts: list[str]) -> list[float]:
    """In plain PEFT and Transformers, one text after the other."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = run.adapter_path if run.recipe.adapter.method == "none" else base
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1,
                                                               dtype="float32")
    if run.recipe.adapter.method != "none":
        model = PeftModel.from_pretrained(model, run.adapter_path)
    tokenizer = AutoTokenizer.from_pretrained(run.adapter_path)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.eval()
    with torch.no_grad():
        return [float(model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)
                            ).logits[0, 0]) for text in texts]


@pytest.mark.parametrize("changes", [
    {}, {"adapter__method": "none", "training__learning_rate": 1e-3},
    {"model__dtype": "bfloat16"}, {"model__quantization": "4bit"},
], ids=["lora", "all-weights", "bfloat16", "4bit"])
def test_the_better_answer_gets_the_higher_number(
    settings: Settings, pair_recipe: MakeRecipe, tiny_model: Path, changes: dict[str, Any]
) -> None:
    recipe = pair_recipe(training__method="reward", training__max_steps=8, training__eval_steps=4,
                         **changes)
    run = trained(settings, recipe, "judge")
    story = run.story()
    assert story.points[-1].loss < 0.8 * story.points[0].loss
    assert story.points[-1].measures["margin"] > story.points[0].measures["margin"]
    assert story.eval_measures[-1][1]["accuracy"] == 1
    judge = load_judge(run, settings, pick_device())
    good = judge.of_turns([conversation(row, "chosen") for row in PAIRS])
    bad = judge.of_turns([conversation(row, "rejected") for row in PAIRS])
    assert all(one > other for one, other in zip(good, bad, strict=True))
    if changes.keys() <= {"adapter__method", "training__learning_rate"}:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(run.adapter_path)
        texts = [tokenizer.apply_chat_template(conversation(row, "chosen"), tokenize=False)
                 for row in PAIRS]
        assert good == pytest.approx(_plain_rewards(run, tiny_model, texts), abs=1e-4)
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        assert judge(ids) == good


def test_a_stopped_run_goes_on_to_the_losses_of_an_uninterrupted_one(
    settings: Settings, pair_recipe: MakeRecipe
) -> None:
    recipe = pair_recipe(training__method="reward", training__max_steps=6,
                         preference__center_rewards=0.01)
    whole = losses_of(trained(settings, recipe, "whole"))
    assert losses_of(resumed_to(settings, recipe, 3)) == whole


def test_a_judge_is_asked_for_no_answers_and_nobody_takes_it_for_a_writer(
    settings: Settings, pair_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.chat.session import ChatSession, Column
    from studio.evaluation import before_after
    from studio.evaluation.harness import Asked
    from studio.ui.adapter_shelf import trained_of

    recipe = pair_recipe(training__method="reward", training__max_steps=1,
                         monitor__sample_records=2, monitor__forgetting=True)
    assert len(observers_for(recipe).several) == len(
        observers_for(pair_recipe(training__method="reward")).several)
    run = trained(settings, recipe, "judge")
    with pytest.raises(ModelError, match="reward model, which judges answers"):
        ChatSession(recipe.model, [Column("judge", run.adapter_path)], settings)
    with pytest.raises(ExportError, match="reward model"):
        find_origin(run.path)
    monkeypatch.setattr(before_after, "require_harness", lambda: None)
    with pytest.raises(RunError, match="reward model"):
        before_after.evaluate_run(run, Asked(tasks=("x",)), settings)
    assert trained_of(run) is None


def test_a_whole_model_that_judges_cannot_be_chatted_with_and_a_writer_cannot_judge(
    settings: Settings, pair_recipe: MakeRecipe
) -> None:
    from studio.chat.session import ChatSession, Column
    from studio.recipe import Model

    recipe = pair_recipe(training__method="reward", training__max_steps=1, adapter__method="none")
    run = trained(settings, recipe, "judge")
    with pytest.raises(ModelError, match="is a reward model"):
        ChatSession(Model(source=str(run.adapter_path)), [Column("base")], settings)
    writer = trained(settings, pair_recipe(training__method="dpo", training__max_steps=1), "dpo")
    with pytest.raises(ModelError, match="dpo holds no reward model"):
        load_judge(writer, settings, pick_device())
