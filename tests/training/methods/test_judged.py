"""kto trains the tiny model for real; its micro-batches and its loss are those of plain TRL."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from studio.data.prepare import prepare
from studio.errors import RecipeError
from studio.recipe import Recipe
from studio.settings import Settings
from studio.training.methods.collators import JudgedCollator
from studio.training.recovery import next_change
from studio.training.trainers import check_method
from tests.training.conftest import MakeRecipe, losses_of, tiny_recipe
from tests.training.methods.conftest import JUDGED, PAIRS, plain_margin, resumed_to, trained
from tests.training.methods.trainer import TEMPLATE, studio_trainer, with_lora


@pytest.fixture
def judged_recipe(tiny_model: Path, judged: Path) -> MakeRecipe:
    return functools.partial(
        tiny_recipe, tiny_model, judged, training__method="kto", training__batch_size=8,
        training__learning_rate=1e-2, data__eval_fraction=0.25)


def test_good_answers_become_likelier_than_bad_ones(
    settings: Settings, judged_recipe: MakeRecipe, tiny_model: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = trained(settings, judged_recipe(training__max_steps=12, training__eval_steps=4), "a")
    story = run.story()
    assert story.points[0].loss == pytest.approx(0.5, rel=1e-5)
    margins = [measures["margin"] for _, measures in story.eval_measures]
    assert len(margins) == 3 and margins[-1] > margins[0] > 0
    assert story.evals[-1][1] < story.evals[0][1]
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    before = plain_margin(base, tokenizer, PAIRS)
    after = plain_margin(PeftModel.from_pretrained(base, run.adapter_path).eval(), tokenizer, PAIRS)
    assert after > before + 1


def test_every_held_out_answer_is_measured_where_a_micro_batch_is_left_out(
    settings: Settings, judged_recipe: MakeRecipe, tiny_model: Path
) -> None:
    from studio.models import find_model, load_tokenizer

    recipe = judged_recipe(training__max_steps=2)
    tokenizer = load_tokenizer(find_model(str(tiny_model), settings))
    rows = len(prepare(recipe, tokenizer, settings).train)
    # One row more than a micro-batch, which is larger than the held-out part.
    run = trained(settings, recipe.with_values({"training.batch_size": rows - 1}), "a")
    story = run.story()
    assert story.evals[-1][1] > 0.3
    assert {"margin", "accuracy"} & set(story.eval_measures[-1][1])


@pytest.mark.parametrize("changes", [
    {}, {"preference__kto_loss": "apo_zero_unpaired", "training__batch_size": 1}], ids=str)
def test_a_stopped_run_goes_on_to_the_losses_of_an_uninterrupted_one(
    settings: Settings, judged_recipe: MakeRecipe, changes: dict[str, Any]
) -> None:
    recipe = judged_recipe(training__max_steps=6, **changes)
    whole = losses_of(trained(settings, recipe, "whole"))
    assert losses_of(resumed_to(settings, recipe, 3)) == whole


@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
def test_the_loss_of_a_micro_batch_is_that_of_plain_trl(
    settings: Settings, judged_recipe: MakeRecipe, tiny_model: Path, tmp_path: Path, loss: str
) -> None:
    import datasets
    from transformers import AutoTokenizer
    from trl import KTOConfig, KTOTrainer

    recipe = judged_recipe(
        data__template="custom", data__custom_template=TEMPLATE, data__eval_fraction=0.0,
        training__max_steps=3, training__scheduler="constant", preference__kto_loss=loss,
        preference__desirable_weight=1.5)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    data = prepare(recipe, tokenizer, settings)
    tokenizer.chat_template = data.chat_template
    rows = [{"prompt": [{"role": "user", "content": row["prompt"]}],
             "completion": [{"role": "assistant", "content": row["completion"]}],
             "label": row["label"]} for row in JUDGED]
    plain = KTOTrainer(
        model=with_lora(tiny_model), processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list(rows),
        args=KTOConfig(
            output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", max_steps=3,
            per_device_train_batch_size=8, learning_rate=1e-2, lr_scheduler_type="constant",
            logging_steps=1, save_strategy="no", gradient_checkpointing=False, disable_tqdm=True,
            loss_type=loss, desirable_weight=1.5))
    plain.train()
    ours, run = studio_trainer(settings, recipe, with_lora(tiny_model), tokenizer, data.train)
    ours.args.save_strategy = "no"
    ours.train()
    expected = [log["loss"] for log in plain.state.log_history if "loss" in log]
    assert [point.loss for point in run.story().points] == pytest.approx(expected, rel=2e-5)


def test_each_prompt_comes_again_with_the_answer_of_the_row_before() -> None:
    rows = [{"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4], "is_good": True},
            {"input_ids": [7, 8, 9], "labels": [-100, 8, 9], "is_good": False}]
    batch = JudgedCollator(0, max_length=4, compares=True)(rows)
    assert batch["label"].tolist() == [True, False]
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [7, 8, 9, 0]]
    assert batch["completion_mask"].tolist() == [[0, 0, 1, 1], [0, 1, 1, 0]]
    assert batch["KL_input_ids"].tolist() == [[1, 2, 8, 9], [7, 3, 4, 0]]
    assert batch["KL_completion_mask"].tolist() == [[0, 0, 1, 1], [0, 1, 1, 0]]
    assert not any(name.startswith("KL_") for name in JudgedCollator(0, 4, compares=False)(rows))


def test_pairs_are_taken_as_good_and_bad_answers(
    settings: Settings, pair_recipe: MakeRecipe
) -> None:
    recipe = pair_recipe(training__method="kto", training__max_steps=2, training__batch_size=4)
    story = trained(settings, recipe, "a").story()
    assert story.plan["train_examples"] == 36 and story.plan["eval_examples"] == 12


def test_one_answer_at_a_time_is_refused_and_memory_that_runs_out_leaves_two(
    settings: Settings
) -> None:
    recipe = Recipe.model_validate({"training": {
        "method": "kto", "batch_size": 2, "gradient_accumulation": 4}})
    check_method(recipe, settings)
    change = next_change(recipe, is_checkpointing=False, longest_tokens=100)
    assert change is not None and "training.batch_size" not in change.values
    alone = recipe.with_values({"training.batch_size": 1})
    with pytest.raises(RecipeError, match=r"training\.batch_size is 1"):
        check_method(alone, settings)
    check_method(alone.with_values({"preference.kto_loss": "apo_zero_unpaired"}), settings)
