"""Stopping and going on: the later steps are the same as if nothing had happened.

What a kill leaves is in test_kill.py, damaged checkpoints in test_checkpoints.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.errors import RunError
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import MakeRecipe, losses_of


def _train(settings: Settings, recipe: Recipe, name: str) -> Run:
    run = create_run(settings, recipe, name)
    train(recipe, run, lambda: False, settings=settings)
    return run


@pytest.mark.parametrize("changes", [
    {"adapter__dropout": 0.1, "data__eval_fraction": 0.2, "training__eval_steps": 2},
    {"adapter__method": "none", "training__learning_rate": 1e-3,
     "training__gradient_accumulation": 2, "training__batch_size": 2},
    {"data__packing": True, "training__batch_size": 1},
], ids=str)
def test_a_stopped_run_goes_on_to_the_very_losses_of_an_uninterrupted_one(
    settings: Settings, make_recipe: MakeRecipe, changes: dict[str, Any]
) -> None:
    recipe = make_recipe(training__max_steps=9, **changes)
    whole = losses_of(_train(settings, recipe, "whole"))
    parts = create_run(settings, recipe, "parts")
    assert train(recipe, parts, lambda: parts.story().step >= 3, settings=settings) == "stopped"
    stopped_at = parts.story().step
    assert 3 <= stopped_at < 9
    assert train(recipe, parts, lambda: False, settings=settings, resume=True) == "done"
    assert losses_of(parts) == whole
    notes = [event["text"] for event in parts.events() if event["type"] == "note"]
    assert [note for note in notes if "checkpoint" in note] == [
        f"Going on from the checkpoint at step {stopped_at}."]
    elapsed = [event["elapsed_seconds"] for event in parts.events() if event["type"] == "log"]
    tokens = [event["tokens"] for event in parts.events() if event["type"] == "log"]
    assert elapsed == sorted(elapsed) and tokens == sorted(tokens)


def test_a_run_stopped_while_measuring_goes_on_to_the_same_losses(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=6, adapter__dropout=0.1, data__eval_fraction=0.2,
                         training__eval_steps=3)
    whole = losses_of(_train(settings, recipe, "whole"))
    parts = create_run(settings, recipe, "parts")
    train(recipe, parts, lambda: parts.story().state == "evaluating", settings=settings)
    assert parts.story().step == 3
    train(recipe, parts, lambda: False, settings=settings, resume=True)
    assert losses_of(parts) == whole


def test_without_a_checkpoint_it_starts_again_and_says_so(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=3)
    run = create_run(settings, recipe, "a")
    assert train(recipe, run, lambda: run.story().state == "loading",
                 settings=settings) == "stopped"
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    assert any("starts again at step 0" in line for line in run.story().log_tail)
    assert sorted(losses_of(run)) == [1, 2, 3]


def test_a_finished_run_cannot_go_on(settings: Settings, make_recipe: MakeRecipe) -> None:
    run = _train(settings, make_recipe(training__max_steps=1), "a")
    with pytest.raises(RunError, match="is finished: 1 of 1 steps"):
        train(run.recipe, run, lambda: False, settings=settings, resume=True)
    assert run.story().state == "done"


def test_data_that_changed_in_between_is_noticed(
    settings: Settings, make_recipe: MakeRecipe, orders: Path
) -> None:
    recipe = make_recipe(training__max_steps=6)
    run = create_run(settings, recipe, "a")
    train(recipe, run, lambda: run.story().step >= 2, settings=settings)
    lines = orders.read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    first["messages"][1]["content"] = "something else"
    orders.write_text("\n".join([json.dumps(first), *lines[1:]]), encoding="utf-8")
    train(recipe, run, lambda: False, settings=settings, resume=True)
    assert any("not the same as when" in line for line in run.story().log_tail)
