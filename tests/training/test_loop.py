"""Training for real on a tiny model: what it learns, what it writes down, what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.errors import ModelError, RunError
from studio.recipe import Recipe
from studio.runs import Run, create_run, open_run
from studio.settings import Settings
from studio.story import FINAL_STATES
from studio.training.loop import train
from tests.training.conftest import MakeRecipe


def _run(settings: Settings, recipe: Recipe, stop: Callable[[Run], bool] = lambda run: False,
         name: str = "a") -> tuple[Run, str]:
    run = create_run(settings, recipe, name)
    return run, train(recipe, run, lambda: stop(run), settings=settings)


def _events(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["type"] == kind]


def _states(run: Run) -> list[str]:
    names = [event["state"] for event in _events(run, "state")]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def test_the_loss_falls_and_the_events_are_complete_strict_json(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=12, data__eval_fraction=0.2, training__eval_steps=6,
                         training__save_steps=5)
    run, final = _run(settings, recipe)
    assert final == "done"
    lines = (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line, parse_constant=pytest.fail)["type"] for line in lines)
    assert _states(run) == ["preparing", "tokenising", "loading", "training", "evaluating",
                            "training", "evaluating", "saving", "done"]
    [plan] = _events(run, "plan")
    assert plan["total_steps"] == 12 and plan["train_examples"] == 19
    assert plan["eval_examples"] == 5 and plan["dtype"] == "float32"
    assert len(plan["choices"]) == 5
    logs = _events(run, "log")
    assert [log["step"] for log in logs] == list(range(1, 13))
    assert logs[-1]["loss"] < 0.97 * logs[0]["loss"]
    assert all(log["grad_norm"] > 0 and log["tokens_per_second"] > 0 for log in logs)
    assert logs[0]["tokens"] < logs[-1]["tokens"] and logs[-1]["seconds_left"] == 0
    assert logs[0]["learning_rate"] == 3e-2 > logs[-1]["learning_rate"]
    evals = _events(run, "eval")
    assert [event["step"] for event in evals] == [6, 12]
    assert evals[1]["loss"] < evals[0]["loss"]
    assert [event["step"] for event in _events(run, "checkpoint")] == [5, 6, 10, 12]
    assert [path.name for path in run.checkpoints()] == ["checkpoint-10", "checkpoint-12"]
    story = open_run(settings, "a").story()
    assert story.state == "done" and story.step == story.total_steps == 12
    telemetry = (run.path / "telemetry.jsonl").read_text(encoding="utf-8").splitlines()
    assert "cpu_percent" in json.loads(telemetry[0])


def test_the_environment_is_recorded_without_anything_secret(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run, _ = _run(Settings(home=settings.home, offline=True, hub_token="hf_secret"),
                  make_recipe(training__max_steps=1))
    noted = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))
    assert noted["libraries"]["torch"] and noted["device"]["kind"]
    assert len(noted["data"]["fingerprint"]) == 64
    for file in run.path.rglob("*"):
        assert not file.is_file() or b"hf_secret" not in file.read_bytes()


def test_the_adapter_loads_in_plain_peft_and_answers_as_it_did_while_training(
    settings: Settings, make_recipe: MakeRecipe, tiny_model: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, _ = _run(settings, make_recipe(data__eval_fraction=0.2))
    assert run.has_adapter
    config = json.loads((run.adapter_path / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == str(tiny_model)
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(run.adapter_path)
    assert tokenizer.chat_template
    model = PeftModel.from_pretrained(base, run.adapter_path).eval()
    # The held-out loss that the run measured, computed again from what it saved.
    from studio.data.prepare import prepare

    held_out = prepare(run.recipe, tokenizer, settings).eval
    total = tokens = 0.0
    for row in held_out:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(
            logits, labels[0, 1:].long(), ignore_index=-100, reduction="sum"))
        tokens += int((labels[0, 1:] != -100).sum())
    [measured] = _events(run, "eval")
    assert total / tokens == pytest.approx(measured["loss"], rel=1e-4)


def test_without_an_adapter_every_weight_is_trained_and_a_plain_model_is_left(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    from transformers import AutoModelForCausalLM

    run, final = _run(settings, make_recipe(adapter__method="none",
                                            training__learning_rate=1e-3))
    logs = _events(run, "log")
    assert final == "done" and logs[-1]["loss"] < logs[0]["loss"] and run.has_adapter
    model = AutoModelForCausalLM.from_pretrained(run.adapter_path)
    assert _events(run, "plan")[0]["trainable"] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("changes", [
    {"model__dtype": "bfloat16", "training__learning_rate": 1e-2},
    {"model__dtype": "bfloat16", "training__learning_rate": 1e-2,
     "training__gradient_checkpointing": True},
    {"data__packing": True, "training__batch_size": 1},
    {"training__gradient_accumulation": 3, "training__optimizer": "adafactor"},
    {"adapter__use_dora": True, "adapter__dropout": 0.1, "training__optimizer": "adamw_8bit"},
    {"training__max_steps": 0, "training__epochs": 2.0, "data__loss_on": "all"},
    {"model__quantization": "4bit", "model__dtype": "bfloat16"},
], ids=str)
def test_the_loss_falls_with_other_settings_too(
    settings: Settings, make_recipe: MakeRecipe, changes: dict[str, Any]
) -> None:
    run, final = _run(settings, make_recipe(**changes))
    logs = _events(run, "log")
    assert final == "done" and logs[-1]["loss"] < 0.98 * logs[0]["loss"]
    from safetensors import safe_open

    with safe_open(run.adapter_path / "adapter_model.safetensors", "pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {  # noqa: SIM118
            "torch.float32"}


@pytest.mark.parametrize("state", ["preparing", "loading", "tokenising"])
def test_a_stop_before_training_ends_as_stopped(
    settings: Settings, make_recipe: MakeRecipe, state: str
) -> None:
    run, final = _run(settings, make_recipe(), lambda run: run.story().state == state)
    assert final == "stopped" and run.story().state == "stopped" and not run.has_adapter
    assert _states(run)[-2] == state


def test_a_stop_in_training_keeps_an_adapter_and_a_checkpoint(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run, final = _run(settings, make_recipe(training__max_steps=200),
                      lambda run: run.story().step >= 3)
    story = run.story()
    assert final == "stopped" == story.state and 3 <= story.step <= 4
    assert run.has_adapter
    assert [path.name for path in run.checkpoints()] == [f"checkpoint-{story.step}"]


def test_a_stop_between_two_micro_batches_keeps_the_last_whole_step(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    asked = 0

    def stop(run: Run) -> bool:
        nonlocal asked
        asked += run.story().step == 2
        return asked >= 2

    recipe = make_recipe(training__gradient_accumulation=4, training__batch_size=2,
                         training__max_steps=50)
    run, final = _run(settings, recipe, stop)
    assert final == "stopped" and run.story().step == 2 and run.has_adapter
    assert [path.name for path in run.checkpoints()] == ["checkpoint-2"]


def test_a_stop_while_measuring_ends_the_run_with_what_it_has(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(data__eval_fraction=0.3, training__eval_steps=2,
                         training__max_steps=50)
    run, final = _run(settings, recipe, lambda run: run.story().state == "evaluating")
    assert final == "stopped" and run.story().step == 2 and run.has_adapter
    assert _events(run, "eval") == [] and len(run.checkpoints()) == 1


def test_a_missing_model_folder_is_told_in_the_run_and_raised(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(model__source=str(tmp_path / "nothing-here"))
    run = create_run(settings, recipe, "a")
    with pytest.raises(ModelError):
        train(recipe, run, lambda: False, settings=settings)
    story = run.story()
    assert story.state == "failed" and story.error is not None
    assert "nothing-here" in story.error[0] and story.error[1]


def test_what_nobody_foresaw_is_told_with_its_type_and_leaves_a_traceback(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    def break_down(run: Run) -> bool:
        if run.story().step >= 1:
            raise RuntimeError("the fan fell off\nmore")
        return False

    recipe = make_recipe()
    run = create_run(settings, recipe, "a")
    with pytest.raises(RunError, match="RuntimeError: the fan fell off") as caught:
        train(recipe, run, lambda: break_down(run), settings=settings)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert run.story().state == "failed"
    assert "the fan fell off" in (run.path / "traceback.txt").read_text(encoding="utf-8")


def test_memory_that_runs_out_is_told_with_what_would_avoid_it(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    import torch

    def run_out(run: Run) -> bool:
        if run.story().step >= 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return False

    recipe = make_recipe()
    run = create_run(settings, recipe, "a")
    with pytest.raises(RunError, match=r"batch_size"):
        train(recipe, run, lambda: run_out(run), settings=settings)
    assert run.story().error is not None


def test_every_final_state_is_a_state_that_the_story_knows() -> None:
    assert {"done", "paused", "stopped", "cancelled", "failed"} == set(FINAL_STATES)


def test_before_the_base_is_loaded_the_run_notes_whether_the_estimate_fits(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run, _ = _run(settings, make_recipe(training__max_steps=1))
    types = [(event["type"], event.get("state") or event.get("text", "")) for event in run.events()]
    note = next(place for place, (kind, text) in enumerate(types)
                if kind == "note" and "Fits" in text)
    assert note < types.index(("state", "loading"))
