"""Early stopping, the checkpoint of the best evaluation, and its weights as the result."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.best import evaluations_since_best
from studio.training.loop import train
from tests.training.conftest import MakeRecipe


def _run(settings: Settings, recipe: Recipe, name: str = "a") -> Run:
    run = create_run(settings, recipe, name)
    train(recipe, run, lambda: False, settings=settings)
    return run


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


@pytest.fixture
def overfits(tmp_path: Path, make_recipe: MakeRecipe) -> MakeRecipe:
    """A recipe whose held-out loss rises, whatever the processor rounds: it is held out what the
    data teach never to say."""
    said = {"train": "aaa aaa aaa", "held-out": "xyz xyz xyz"}
    for name, answer in said.items():
        row = {"messages": [{"role": "user", "content": "What now?"},
                            {"role": "assistant", "content": answer}]}
        (tmp_path / f"{name}.jsonl").write_text((json.dumps(row) + "\n") * 4, encoding="utf-8")

    def make(**values: Any) -> Recipe:
        return make_recipe(**{
            "adapter__method": "lora", "training__learning_rate": 5e-2, "adapter__alpha": 64,
            "training__scheduler": "constant", "training__max_steps": 24, "training__batch_size": 1,
            "data__source": str(tmp_path / "train.jsonl"), "data__held_out": "file",
            "data__eval_source": str(tmp_path / "held-out.jsonl"),
            "training__eval_steps": 2, "training__save_total_limit": 1, **values})

    return make


@pytest.mark.parametrize(("losses", "min_change", "since"), [
    ([], 0.0, 0), ([2.0], 0.0, 0), ([2.0, 1.0], 0.0, 0), ([2.0, 1.0, 1.0], 0.0, 1),
    ([2.0, 1.0, 1.5, 0.9], 0.0, 0), ([2.0, 1.0, 0.95, 0.92], 0.1, 2),
    ([2.0, 1.0, 0.95, 0.85], 0.1, 0), ([2.0, math.nan, math.nan], 0.0, 2),
    ([math.nan, math.nan, 2.0], 0.5, 0)])
def test_evaluations_without_a_better_one_are_counted(
    losses: list[float], min_change: float, since: int
) -> None:
    assert evaluations_since_best(losses, min_change) == since


def test_a_run_ends_early_as_done_and_names_the_best_step(
    settings: Settings, overfits: MakeRecipe
) -> None:
    story = _run(settings, overfits(training__early_stopping_patience=2)).story()
    losses = [loss for _, loss in story.evals]
    assert story.state == "done" and story.step < 24 and story.best is not None
    assert evaluations_since_best(losses, 0) == 2
    assert f"the best was {story.best[1]:.4f} after step {story.best[0]}" in story.detail
    assert story.result_step == story.step


def test_the_count_of_early_stopping_survives_a_stop_and_a_resume(
    settings: Settings, overfits: MakeRecipe
) -> None:
    recipe = overfits(training__early_stopping_patience=3)
    whole = _run(settings, recipe).story()
    parts = create_run(settings, recipe, "parts")
    assert whole.best is not None
    late = whole.best[0] + 3
    train(recipe, parts, lambda: parts.story().step >= late, settings=settings)
    assert parts.story().state == "stopped"
    train(recipe, parts, lambda: False, settings=settings, resume=True)
    assert parts.story().evals == whole.evals and parts.story().detail == whole.detail


@pytest.mark.parametrize("method", ["lora", "none"])
def test_the_best_evaluation_is_the_result_where_the_recipe_wants_it(
    settings: Settings, overfits: MakeRecipe, method: str
) -> None:
    import torch
    from safetensors.torch import load_file

    run = _run(settings, overfits(training__keep="best", training__max_steps=8,
                                  adapter__method=method))
    story = run.story()
    assert story.state == "done" and story.best is not None
    best = story.best[0]
    assert story.result_step == best < story.step
    assert any(f"The result is of step {best}" in line for line in story.log_tail)
    name = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    checkpoint = run.checkpoint_path / f"checkpoint-{best}"
    kept, saved = load_file(run.adapter_path / name), load_file(checkpoint / name)
    last = load_file(run.checkpoint_path / f"checkpoint-{story.step}" / name)
    assert kept.keys() == saved.keys()
    assert all(torch.equal(kept[key], saved[key]) for key in kept)
    assert not all(torch.equal(kept[key], last[key]) for key in kept)


def test_without_its_checkpoint_the_last_step_is_the_result_and_a_note_says_so(
    settings: Settings, overfits: MakeRecipe
) -> None:
    import shutil

    recipe = overfits(training__keep="best")
    run = create_run(settings, recipe, "a")

    def lose_the_best() -> bool:
        story = run.story()
        if story.step == 23 and story.best is not None:
            shutil.rmtree(run.checkpoint_path / f"checkpoint-{story.best[0]}", ignore_errors=True)
        return False

    train(recipe, run, lose_the_best, settings=settings)
    story = run.story()
    assert story.result_step == 24
    assert any("There is no complete checkpoint of step" in line for line in story.log_tail)
