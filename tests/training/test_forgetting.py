"""The loss on general text: what plain transformers would compute, kept over resumes, warned of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.forgetting import GENERAL_TEXTS
from studio.training.loop import train
from tests.training.conftest import MakeRecipe

METER: dict[str, Any] = {"monitor__forgetting": True, "training__max_steps": 4}


def _train(settings: Settings, recipe: Recipe, name: str = "a") -> Run:
    run = create_run(settings, recipe, name)
    train(recipe, run, lambda: False, settings=settings)
    return run


def _plain_loss(model: Any, tokenizer: Any, texts: list[str]) -> float:
    import torch

    total = tokens = 0.0
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text)])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        tokens += ids.shape[1] - 1
    return total / tokens


def test_the_set_is_small_and_of_many_kinds() -> None:
    lines = [json.loads(line) for line in GENERAL_TEXTS.read_text(encoding="utf-8").splitlines()]
    assert 30 <= len(lines) <= 40 and len({line["kind"] for line in lines}) > 20
    assert sum(len(line["text"]) for line in lines) < 6000
    assert len({line["text"] for line in lines}) == len(lines)


def test_base_and_current_loss_are_what_a_plain_model_computes(
    settings: Settings, make_recipe: MakeRecipe, tiny_model: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = _train(settings, make_recipe(**METER, data__eval_fraction=0.2, training__eval_steps=2))
    found = run.story().forgetting
    assert [one.step for one in found] == [0, 2, 4]
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    texts = [json.loads(line)["text"]
             for line in GENERAL_TEXTS.read_text(encoding="utf-8").splitlines()]
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    expected = _plain_loss(base, tokenizer, texts)
    assert found[0].loss == found[0].base_loss == pytest.approx(expected, rel=1e-5)
    tuned = PeftModel.from_pretrained(base, run.adapter_path).eval()
    assert found[-1].loss == pytest.approx(_plain_loss(tuned, tokenizer, texts), rel=1e-5)
    assert {one.base_loss for one in found} == {found[0].loss}


def test_it_is_measured_at_the_end_where_nothing_is_evaluated(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = _train(settings, make_recipe(**METER))
    assert [one.step for one in run.story().forgetting] == [0, 4]


def test_a_model_that_forgets_raises_one_alarm_with_advice(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = _train(settings, make_recipe(
        **{**METER, "training__max_steps": 6}, adapter__method="none",
        training__learning_rate=0.1, training__max_grad_norm=0,
        data__eval_fraction=0.2, training__eval_steps=2))
    story = run.story()
    [alarm] = [one for one in story.alarms if one.kind == "forgetting"]
    first = next(one for one in story.forgetting if one.loss > 1.1 * one.base_loss)
    assert story.points[-1].loss < story.points[0].loss  # while it learns the data
    assert alarm.step == first.step < story.step and alarm.level == "warning"
    assert "%" in alarm.text and "learning rate" in alarm.hint


@pytest.mark.parametrize("method", ["lora", "none"])
def test_a_resumed_run_keeps_what_the_base_had_before_its_first_step(
    settings: Settings, make_recipe: MakeRecipe, method: str
) -> None:
    recipe = make_recipe(**METER, adapter__method=method, training__learning_rate=1e-2)
    run = create_run(settings, recipe, "a")
    train(recipe, run, lambda: run.story().step >= 2, settings=settings)
    [before] = run.story().forgetting
    train(recipe, run, lambda: False, settings=settings, resume=True)
    after = run.story().forgetting
    assert [one.step for one in after] == [0, 4] and after[0] == before
    assert after[1].base_loss == before.base_loss != after[1].loss


def test_without_a_measure_of_the_base_the_adapter_is_switched_off_for_one(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    silent = make_recipe(training__max_steps=4)
    run = create_run(settings, silent, "a")
    train(silent, run, lambda: run.story().step >= 2, settings=settings)
    metered = make_recipe(**METER)
    train(metered, run, lambda: False, settings=settings, resume=True)
    [late] = run.story().forgetting
    [first, _] = _train(settings, metered, "b").story().forgetting
    assert late.step == 4 and late.base_loss == pytest.approx(first.loss, rel=1e-6)


def test_a_source_of_ones_own_is_measured_on_its_answers(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path, tiny_model: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    own = tmp_path / "own.jsonl"
    turns = [{"role": "user", "content": "Capital of France?"},
             {"role": "assistant", "content": "Paris."}]
    own.write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    run = _train(settings, make_recipe(**{**METER, "training__max_steps": 1},
                                       monitor__forgetting_source=str(own)))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    asked = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    prompt, answer = tokenizer.encode(asked), tokenizer.encode("Paris.<|im_end|>")
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1:-1]
    expected = float(torch.nn.functional.cross_entropy(logits, torch.tensor(answer)))
    assert run.story().forgetting[0].loss == pytest.approx(expected, rel=1e-5)


def test_a_source_that_is_not_there_is_said_and_the_run_goes_on(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = _train(settings, make_recipe(
        **{**METER, "training__max_steps": 1},
        monitor__forgetting_source=str(tmp_path / "nothing.jsonl")))
    story = run.story()
    assert story.state == "done" and not story.forgetting
    assert any("Forgetting is not measured" in line and "nothing.jsonl" in line
               for line in story.log_tail)
