"""dpo and orpo train the tiny model for real: margins rise, results load elsewhere, runs resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from studio.errors import RecipeError, RunError
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train
from studio.training.trainers import check_method
from tests.training.conftest import MakeRecipe, losses_of
from tests.training.methods.conftest import PAIRS, plain_margin, resumed_to, trained


def _loaded(base: Path, adapter: Path | None) -> tuple[Any, Any]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    return model.eval(), AutoTokenizer.from_pretrained(base)


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_the_margin_rises_in_the_run_and_in_plain_peft(
    settings: Settings, pair_recipe: MakeRecipe, tiny_model: Path, method: str
) -> None:
    recipe = pair_recipe(training__method=method, training__max_steps=12, training__eval_steps=4)
    run = trained(settings, recipe, "a")
    story = run.story()
    if method == "dpo":
        assert story.points[0].loss == pytest.approx(math.log(2), rel=1e-5)
        assert story.points[0].measures["margin"] == pytest.approx(0, abs=1e-5)
    margins = [measures["margin"] for _, measures in story.eval_measures]
    assert [step for step, _ in story.eval_measures] == [4, 8, 12]
    assert margins[0] < margins[-1] and margins[-1] > 0
    assert story.eval_measures[-1][1]["accuracy"] == 1
    assert story.evals[-1][1] < story.evals[0][1]
    assert story.points[-1].loss < story.points[0].loss
    before = plain_margin(*_loaded(tiny_model, None), PAIRS)
    after = plain_margin(*_loaded(tiny_model, run.adapter_path), PAIRS)
    assert after > before + 1


@pytest.mark.parametrize("changes", [
    {"training__method": "dpo", "training__eval_steps": 2},
    {"training__method": "dpo", "adapter__init": "pissa"},
    {"training__method": "dpo", "adapter__method": "none", "training__learning_rate": 1e-3},
    {"training__method": "orpo", "training__gradient_accumulation": 2, "training__batch_size": 2},
], ids=["dpo", "dpo-pissa", "dpo-all-weights", "orpo"])
def test_a_stopped_run_goes_on_to_the_losses_of_an_uninterrupted_one(
    settings: Settings, pair_recipe: MakeRecipe, changes: dict[str, Any]
) -> None:
    recipe = pair_recipe(training__max_steps=6, **changes)
    whole = losses_of(trained(settings, recipe, "whole"))
    assert losses_of(resumed_to(settings, recipe, 3)) == whole


@pytest.mark.parametrize("changes", [
    {"adapter__init": "pissa"}, {"adapter__method": "none", "training__learning_rate": 1e-3}],
    ids=["pissa", "all-weights"])
def test_where_memory_runs_out_it_goes_on_comparing_with_the_same_start(
    settings: Settings, pair_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    import torch
    from accelerate import Accelerator

    recipe = pair_recipe(training__method="dpo", training__max_steps=6, data__eval_fraction=0.0,
                         **changes)
    whole = losses_of(trained(settings, recipe, "whole"))
    calls, real = iter(range(1, 10**6)), Accelerator.backward

    def limited(*args: Any, **options: Any) -> None:
        if next(calls) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        real(*args, **options)

    monkeypatch.setattr(Accelerator, "backward", limited)
    run = trained(settings, recipe, "a")
    assert run.story().adapted["training.batch_size"] == 2
    assert losses_of(run) == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_model_is_asked_while_it_learns_and_that_changes_nothing(
    settings: Settings, pair_recipe: MakeRecipe, method: str
) -> None:
    from studio.training.kept_answers import read_samples

    recipe = pair_recipe(training__method=method, training__max_steps=3)
    asked = recipe.with_values({
        "monitor.sample_records": 2, "monitor.sample_prompts": ["1 pizza"],
        "monitor.sample_tokens": 4, "monitor.forgetting": True, "monitor.scorer": "exact_match"})
    run = trained(settings, asked, "asked")
    assert losses_of(run) == losses_of(trained(settings, recipe, "alone"))
    expected = {answer.expected for answer in read_samples(run)}
    assert None in expected and len(expected) > 1
    assert all(text is None or text.startswith("yes") for text in expected)
    assert run.story().scores and run.story().forgetting


def test_the_reference_is_the_base_with_the_adapter_off_and_takes_no_room(
    settings: Settings, pair_recipe: MakeRecipe
) -> None:
    run = trained(settings, pair_recipe(training__method="dpo", training__max_steps=2), "a")
    folders = [run.adapter_path, *run.checkpoints()]
    assert len(folders) == 2
    assert not [path for folder in folders for path in folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize("changes", [
    {"adapter__init": "pissa"}, {"adapter__method": "prompt_tuning"},
    {"model__quantization": "4bit", "adapter__use_dora": True},
    {"adapter__method": "none", "training__learning_rate": 1e-3},
], ids=["pissa", "prompt_tuning", "4bit-dora", "all-weights"])
def test_dpo_learns_with_other_adapters_and_bases(
    settings: Settings, pair_recipe: MakeRecipe, changes: dict[str, Any]
) -> None:
    recipe = pair_recipe(**{"training__method": "dpo", "training__max_steps": 6, **changes})
    story = trained(settings, recipe, "a").story()
    if recipe.adapter.method != "prompt_tuning":  # which starts as random words before the text
        # pissa starts as the base but for the rounding of taking its weights apart.
        assert story.points[0].measures["margin"] == pytest.approx(0, abs=1e-4)
    assert story.points[-1].measures["margin"] > story.points[0].measures["margin"] + 0.02


def test_the_loss_of_orpo_is_the_papers(
    settings: Settings, pair_recipe: MakeRecipe, tiny_model: Path
) -> None:
    """Beside TRL's own formula of the odds ratio, on the first step of one micro-batch."""
    import torch
    from trl.experimental.orpo.orpo_trainer import log1mexp

    from tests.training.methods.conftest import plain_log_likelihood

    recipe = pair_recipe(training__method="orpo", training__max_steps=1, training__batch_size=24,
                         data__eval_fraction=0, preference__beta=0.5)
    found = trained(settings, recipe, "a").story().points[0].loss
    model, tokenizer = _loaded(tiny_model, None)

    def likelihoods(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
        sums = [plain_log_likelihood(model, tokenizer, row["prompt"], row[kind]) for row in PAIRS]
        counts = [len(tokenizer(row[kind])["input_ids"]) + 1 for row in PAIRS]
        return torch.tensor(sums), torch.tensor(counts)

    (chosen, chosen_tokens), (rejected, rejected_tokens) = map(likelihoods, ("chosen", "rejected"))
    mean, other = chosen / chosen_tokens, rejected / rejected_tokens
    odds = (mean - other) - (log1mexp(mean) - log1mexp(other))
    expected = -chosen.sum() / chosen_tokens.sum() - 0.5 * torch.nn.functional.logsigmoid(
        odds).mean()
    assert found == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("init", ["default", "pissa"])
def test_the_margin_that_is_told_is_that_of_the_result_against_the_base_in_plain_peft(
    settings: Settings, pair_recipe: MakeRecipe, tiny_model: Path, pairs: Path, init: str
) -> None:
    recipe = pair_recipe(training__method="dpo", training__max_steps=6, adapter__init=init,
                         data__held_out="file", data__eval_source=str(pairs))
    run = trained(settings, recipe, "a")
    told = run.story().eval_measures[-1][1]["margin"] / 0.1  # by beta
    before = plain_margin(*_loaded(tiny_model, None), PAIRS)
    after = plain_margin(*_loaded(tiny_model, run.adapter_path), PAIRS)
    assert told == pytest.approx(after - before, rel=2e-3)
    assert not [path for path in run.adapter_path.iterdir() if path.is_dir()]


def _measured(run: Run) -> list[tuple[int, float, dict[str, float]]]:
    return [(point.step, point.loss, point.measures) for point in run.story().points]


def test_a_log_over_several_steps_measures_the_same_where_the_run_ended_within_it(
    settings: Settings, pair_recipe: MakeRecipe
) -> None:
    """Broken off in step 5, and stopped between its micro-batches: what steps 4 and 5 measured."""
    recipe = pair_recipe(
        training__method="dpo", training__max_steps=8, training__logging_steps=3,
        training__save_steps=4, training__batch_size=2, training__gradient_accumulation=2,
        data__eval_fraction=0.0)
    whole = trained(settings, recipe, "whole")
    assert [point.step for point in whole.story().points] == [3, 6]
    broken, asked = create_run(settings, recipe, "broken"), 0

    def break_off() -> bool:
        if (broken.checkpoint_path / "checkpoint-4").exists():
            raise RuntimeError("the fan fell off")
        return False

    with pytest.raises(RunError, match="the fan fell off"):
        train(recipe, broken, break_off, settings=settings)
    stopped = create_run(settings, recipe, "stopped")

    def stop() -> bool:
        nonlocal asked
        asked += stopped.story().step >= 3
        return asked >= 4

    assert train(recipe, stopped, stop, settings=settings) == "stopped"
    for run in (broken, stopped):
        assert run.checkpoints()[-1].name == "checkpoint-4"
        assert [point.step for point in run.story().points] == [3]
        assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
        assert _measured(run) == _measured(whole)
    assert all("margin" in measures for _, _, measures in _measured(whole))


@pytest.mark.parametrize(("values", "word"), [
    ({"adapter": {"bias": "all"}}, "adapter.bias"),
    ({"adapter": {"targets": ["q_proj", "lm_head"]}}, "lm_head"),
])
def test_what_cannot_be_compared_is_refused_before_anything_is_loaded(
    settings: Settings, values: dict[str, Any], word: str
) -> None:
    for method in ("dpo", "kto"):
        recipe = Recipe.model_validate({"training": {"method": method}, **values})
        with pytest.raises(RecipeError, match=word):
            check_method(recipe, settings)
