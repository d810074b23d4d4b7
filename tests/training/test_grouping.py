"""Examples of similar length come together where that saves padding; a resume keeps the order."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from studio.progress import never
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.choices import choose_grouping
from studio.training.grouping import grouped_sampler, padding_share
from studio.training.loop import train
from tests.training.conftest import MakeRecipe, losses_of
from tests.training.methods.conftest import JUDGED, PAIRS, write_lines

_LENGTHS = [random.Random(number).randint(10, 200) for number in range(400)]


def _recipe(**values: Any) -> Recipe:
    return Recipe().with_values({"training.batch_size": 4, "training.gradient_accumulation": 1,
                                 **{key.replace("__", "."): value
                                    for key, value in values.items()}})


def test_auto_groups_where_a_fifth_of_the_tokens_would_be_padding() -> None:
    grouped, said = choose_grouping(_recipe(), _LENGTHS, joined=False)
    assert grouped and len(said) == 1 and "would be padding" in said[0]


@pytest.mark.parametrize(("lengths", "values", "sentences"), [
    ([100 + number % 9 for number in range(400)], {}, 1),
    (_LENGTHS[:100], {}, 1),
    (_LENGTHS, {"training__batch_size": 1}, 0),
    (_LENGTHS, {"speed__group_by_length": False}, 1),
    (_LENGTHS, {"training__method": "grpo"}, 0),
], ids=["alike", "few", "one at a time", "as asked", "answers are written"])
def test_elsewhere_the_order_stays_random(
    lengths: list[int], values: dict[str, Any], sentences: int
) -> None:
    grouped, said = choose_grouping(_recipe(**values), lengths, joined=False)
    assert not grouped and len(said) == sentences


def test_joined_rows_are_never_grouped() -> None:
    assert choose_grouping(_recipe(speed__group_by_length=True), _LENGTHS, joined=True) == (
        False, [])


@pytest.mark.parametrize("before", [True, False])
def test_the_order_stays_what_the_run_began_with(before: bool) -> None:
    one_at_a_time = _recipe(training__batch_size=1, training__gradient_accumulation=4)
    for recipe in (_recipe(), one_at_a_time):
        assert choose_grouping(recipe, _LENGTHS, joined=False, before=before)[0] is before


def test_the_grouped_order_has_every_row_once_and_pads_little() -> None:
    sampler = grouped_sampler(_LENGTHS, 4, 42)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(400))
    lengths = [_LENGTHS[row] for row in orders[0]]
    batches = [lengths[start:start + 4] for start in range(0, 400, 4)]
    computed = sum(4 * max(batch) for batch in batches)
    assert 1 - sum(lengths) / computed < 0.1 < 0.2 < padding_share(_LENGTHS, 4, 42)


def _uneven(path: Path, rows: int) -> str:
    """Questions with answers of 1 to 12 words."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            messages = [{"role": "user", "content": str(number)},
                        {"role": "assistant", "content": "soup " * (number * 5 % 12 + 1)}]
            file.write(json.dumps({"messages": messages}) + "\n")
    return str(path)


def _grouped(run: Run) -> bool:
    return bool(run.story().plan["grouped"])


def test_a_grouped_run_goes_on_to_the_very_losses_of_an_uninterrupted_one(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(
        data__source=_uneven(tmp_path / "uneven.jsonl", 48), adapter__dropout=0.1,
        speed__join_rows=False, speed__group_by_length=True, training__batch_size=2,
        training__gradient_accumulation=2, training__max_steps=0, training__epochs=2,
        training__logging_steps=1)
    whole = create_run(settings, recipe, "whole")
    assert train(recipe, whole, never, settings=settings) == "done"
    assert _grouped(whole) and len(losses_of(whole)) == 24
    parts = create_run(settings, recipe, "parts")
    for stop_at in (5, 16):  # in the midst of the first epoch, and of the second one
        train(recipe, parts, lambda at=stop_at: parts.story().step >= at, settings=settings,
              resume=stop_at > 5)
        assert parts.story().state == "stopped"
    assert train(recipe, parts, never, settings=settings, resume=True) == "done"
    assert losses_of(parts) == losses_of(whole)
    other = create_run(settings, recipe, "other")
    train(recipe.with_values({"speed.group_by_length": False}), other, never, settings=settings)
    assert not _grouped(other) and losses_of(other) != losses_of(whole)


def test_auto_groups_in_a_real_run_and_says_so(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(data__source=_uneven(tmp_path / "uneven.jsonl", 130),
                         speed__join_rows=False, training__max_steps=1)
    run = create_run(settings, recipe)
    train(recipe, run, never, settings=settings)
    assert _grouped(run)
    assert any("similar length come together" in choice for choice in run.story().plan["choices"])


@pytest.mark.parametrize(("method", "rows"), [("dpo", PAIRS), ("reward", PAIRS), ("orpo", PAIRS),
                                              ("kto", JUDGED)])
def test_methods_that_compare_answers_group_them_too(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path, method: str, rows: list[Any]
) -> None:
    recipe = make_recipe(data__source=str(write_lines(tmp_path / "rows.jsonl", rows)),
                         training__method=method, training__max_steps=2,
                         speed__group_by_length=True)
    run = create_run(settings, recipe)
    assert train(recipe, run, never, settings=settings) == "done"
    assert _grouped(run)
