"""The model in training answers: what a plain model would, without the training noticing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.kept_answers import (
    SAMPLES_FILE,
    Answered,
    AnswerFile,
    folded,
    read_samples,
    read_scored,
)
from studio.training.loop import train
from tests.training.conftest import MakeRecipe, tiny_recipe, write_orders

WATCHED: dict[str, Any] = {
    "data__eval_fraction": 0.2, "training__eval_steps": 3, "monitor__sample_records": 2,
    "monitor__sample_prompts": ["3 tea"], "monitor__sample_steps": 2, "monitor__sample_tokens": 12,
    "monitor__scorer": "json_equal", "monitor__forgetting": True,
}


def _train(settings: Settings, recipe: Recipe, name: str) -> Run:
    run = create_run(settings, recipe, name)
    train(recipe, run, lambda: False, settings=settings)
    return run


def _losses(run: Run) -> list[tuple[int, float]]:
    return [(point.step, point.loss) for point in run.story().points]


def _rounds(run: Run) -> list[int]:
    return sorted({one.step for one in read_samples(run)})


@pytest.fixture(scope="module")
def watched(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Run]:
    """A finished run of 7 steps with samples, scores, and forgetting, evaluated at 3, 6 and 7."""
    folder = tmp_path_factory.mktemp("watched")
    settings = Settings(home=folder / "home", offline=True)
    recipe = tiny_recipe(tiny_model, write_orders(folder / "orders.jsonl"), training__max_steps=7,
                         adapter__dropout=0.1, **WATCHED)
    return settings, _train(settings, recipe, "watched")


def test_prompts_are_answered_at_the_start_every_so_often_and_at_the_end(
    watched: tuple[Settings, Run]
) -> None:
    run = watched[1]
    assert _rounds(run) == [0, 2, 4, 6, 7]
    answers = read_samples(run)
    assert [one.prompt for one in answers[:3]] == ["3 tea", answers[1].prompt, answers[2].prompt]
    assert answers[0].expected is None
    assert json.loads(answers[1].expected or "")["quantity"] == int(answers[1].prompt[0])
    assert all(one.tokens == 12 and one.cut for one in answers if len(one.answer.split()) > 3)
    story = run.story()
    assert story.sample_rounds == 5
    assert any("3 sample prompts answered after step 4" in line for line in story.log_tail)
    assert not any("Answering" in line or "Measuring the loss on general" in line
                   for line in story.log_tail)


def test_answers_are_those_that_a_plain_model_gives_one_by_one(
    watched: tuple[Settings, Run], tiny_model: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = watched[1]
    tokenizer = AutoTokenizer.from_pretrained(run.adapter_path)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    by_step = {step: [one for one in read_samples(run) if one.step == step] for step in (0, 7)}
    for step, answers in by_step.items():
        model = PeftModel.from_pretrained(base, run.adapter_path).eval() if step else base
        for one in answers:
            asked = tokenizer.apply_chat_template(
                [{"role": "user", "content": one.prompt}], add_generation_prompt=True,
                return_tensors="pt", return_dict=True)
            with torch.inference_mode():
                ids = model.generate(**asked, max_new_tokens=12, do_sample=False)[0]
            told = tokenizer.decode(ids[asked["input_ids"].shape[1]:], skip_special_tokens=True)
            assert one.answer == told.rstrip("\ufffd")


@pytest.mark.parametrize("changes", [
    {"adapter__dropout": 0.1, "training__gradient_checkpointing": True},
    {"data__packing": True, "training__batch_size": 1},
    {"model__quantization": "4bit", "model__dtype": "bfloat16", "training__max_steps": 3},
    {"adapter__method": "none", "training__learning_rate": 1e-3,
     "training__gradient_accumulation": 2, "training__batch_size": 2},
], ids=str)
def test_the_losses_are_the_same_to_the_bit_whether_or_not_anything_is_asked(
    settings: Settings, make_recipe: MakeRecipe, changes: dict[str, Any], tmp_path: Path
) -> None:
    # A scorer that draws random numbers must not move the training's.
    own = tmp_path / "mine.py"
    own.write_text("import random, torch\ndef score(answer, expected, prompt):\n"
                   "    torch.manual_seed(7)\n    return random.random()\n", encoding="utf-8")
    asked = {**WATCHED, "monitor__scorer": "python", "monitor__scorer_value": f"{own}:score",
             "training__max_steps": 5, **changes}
    silent = {"training__max_steps": 5, "data__eval_fraction": 0.2, **changes}
    with_all = _train(settings, make_recipe(**asked), "asked")
    without = _train(settings, make_recipe(**silent), "silent")
    assert read_samples(with_all) and with_all.story().scores and with_all.story().forgetting
    assert _losses(with_all) == _losses(without)


def test_a_resumed_run_has_every_round_once(settings: Settings, make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(training__max_steps=7, training__save_steps=3, adapter__dropout=0.1,
                         **WATCHED)
    whole = _train(settings, recipe, "whole")
    parts = create_run(settings, recipe, "parts")
    train(recipe, parts, lambda: parts.story().step >= 4, settings=settings)
    stopped_at = parts.story().step
    assert _rounds(parts)[-1] <= stopped_at
    # As after a kill: the newest checkpoint is older than the newest answers.
    AnswerFile(parts, SAMPLES_FILE).append([Answered(99, "3 tea", None, "later", 1, 0.1, False)])
    train(recipe, parts, lambda: False, settings=settings, resume=True)

    def told(answers: list[Answered]) -> list[tuple[int, str, str]]:
        return [(one.step, one.prompt, one.answer) for one in answers]

    assert told(read_samples(parts)) == told(read_samples(whole))
    assert told(read_scored(parts)) == told(read_scored(whole))
    assert _losses(parts) == _losses(whole)
    assert [(one.step, one.loss, one.base_loss) for one in parts.story().forgetting] == [
        (one.step, one.loss, one.base_loss) for one in whole.story().forgetting]


def test_a_stop_between_two_tokens_ends_the_round_and_keeps_nothing_of_it(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        if "Answering" not in run.story().detail:
            return asked > 0
        asked += 1
        return asked >= 3

    recipe = make_recipe(**{**WATCHED, "monitor__sample_tokens": 200,
                            "monitor__scorer": "none", "monitor__forgetting": False})
    run = create_run(settings, recipe, "a")
    train(recipe, run, stop, settings=settings)
    assert 3 <= asked < 20
    assert read_samples(run) == [] and run.story().step <= 1


def test_scores_and_their_answers_are_kept_from_before_the_training_on(
    watched: tuple[Settings, Run]
) -> None:
    run = watched[1]
    scores = run.story().scores
    assert [one.step for one in scores] == [0, 3, 6, 7]
    assert {one.scorer for one in scores} == {"json_equal"} and scores[0].count == 5
    kept = read_scored(run)
    assert len(kept) == 4 * 5 and all(one.score in (0, 1) for one in kept)
    longest = max(len(one.expected or "") for one in kept)
    assert max(one.tokens for one in kept) >= longest / 4  # room for the whole expected answer


def test_an_own_scorer_that_breaks_on_answers_is_told_and_the_run_goes_on(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    own = tmp_path / "mine.py"
    own.write_text("def score(answer, expected, prompt):\n"
                   "    return 1 if int(prompt[0]) % 2 else {}['nothing']\n", encoding="utf-8")
    run = _train(settings, make_recipe(
        training__max_steps=2, data__eval_fraction=0.3, monitor__scorer="python",
        monitor__scorer_value=f"{own}:score", monitor__score_records=6), "a")
    story = run.story()
    assert story.state == "done" and [one.step for one in story.scores] == [0, 2]
    right = sum(one.score == 1 for one in read_scored(run) if one.step == 2)
    assert story.scores[-1].value == pytest.approx(right / story.scores[-1].count)
    [note, _] = [line for line in story.log_tail if "could not be scored" in line]
    assert "mine.py, line 2" in note and "KeyError" in note


def test_a_scorer_that_cannot_be_loaded_ends_the_run_before_the_model_is_loaded(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    from studio.errors import RunError

    recipe = make_recipe(data__eval_fraction=0.3, monitor__scorer="python",
                         monitor__scorer_value=f"{tmp_path / 'gone.py'}:score")
    run = create_run(settings, recipe, "a")
    with pytest.raises(RunError, match=r"gone\.py"):
        train(recipe, run, lambda: False, settings=settings)
    states = [event["state"] for event in run.events() if event["type"] == "state"]
    assert run.story().state == "failed" and "loading" not in states


def test_without_a_held_out_part_it_is_said_that_nothing_can_be_scored(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = _train(settings, make_recipe(training__max_steps=1, monitor__scorer="exact_match",
                                       monitor__sample_records=2), "a")
    story = run.story()
    assert story.state == "done" and not story.scores and read_samples(run) == []
    assert any("cannot be scored" in line for line in story.log_tail)


def test_what_a_resume_has_undone_no_longer_counts_and_a_torn_line_hides_no_other(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = create_run(settings, make_recipe(), "a")
    file = AnswerFile(run, SAMPLES_FILE)
    for step in (0, 2, 4):
        file.append([Answered(step, "one", None, f"at {step}", 2, 0.1, False)])
    with (run.path / SAMPLES_FILE).open("ab") as torn:
        torn.write(b'{"step": 5, "prompt": "on')
    again = AnswerFile(run, SAMPLES_FILE)
    again.resume_from(2)
    assert again.steps == {0, 2}
    again.append([Answered(4, "one", None, "at 4 again", 2, 0.1, True)])
    assert [(one.step, one.answer, one.cut) for one in read_samples(run)] == [
        (0, "at 0", False), (2, "at 2", False), (4, "at 4 again", True)]
    assert folded([]) == []
