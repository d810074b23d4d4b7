"""Rewards as a recipe names them, and what is said about names that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import RecipeError, RunError
from studio.recipe import Recipe
from studio.training.rewards import check_rewards, rewards_named


def recipe(*names: str, **values: object) -> Recipe:
    return Recipe().with_values({
        "training.method": "grpo", "reinforcement.rewards": dict.fromkeys(names, 1.0),
        **{key.replace("__", "."): value for key, value in values.items()}})


def test_each_name_is_a_kind_with_an_argument_and_a_weight() -> None:
    found = rewards_named({"exact_match": 1, "regex=a=b": 0.5, "contains": 2, "length = 20": -1})
    assert [(one.kind, one.argument, one.weight) for one in found] == [
        ("exact_match", "", 1), ("regex", "a=b", 0.5), ("contains", "", 2), ("length", "20", -1)]
    assert [one.compares for one in found] == [True, False, True, False]


@pytest.mark.parametrize(("name", "said"), [
    ("exact_mach", "there is no reward 'exact_mach'"),
    ("json_valid=yes", "json_valid takes nothing behind an ="),
    ("regex", "regex needs a pattern, as in regex="),
    ("length=long", "names no number of tokens"),
    ("length=0", "names no number of tokens"),
    ("model", "model needs the name of a run"),
    ("python", "python needs file.py:function"),
    ("regex=(", r"reinforcement.rewards (regex=() is no regular expression"),
    ("python=score", "names no function"),
])
def test_a_name_that_cannot_be_is_told_with_the_field_it_stands_in(name: str, said: str) -> None:
    with pytest.raises(RecipeError) as told:
        check_rewards(recipe("json_valid", name))
    assert said in str(told.value)
    assert "reinforcement.rewards" in str(told.value)


def test_every_mistake_is_told_with_what_is_allowed() -> None:
    with pytest.raises(RecipeError) as told:
        rewards_named({"exact": 1, "regex": 1})
    assert len(told.value.mistakes) == 2
    assert "contains[=a text]" in told.value.hint and "python=file.py:function" in told.value.hint


def test_a_function_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    with pytest.raises(RunError, match="There is no file"):
        check_rewards(recipe(f"python={file}:score"))
    file.write_text("def other(answer, expected, prompt): return 1", encoding="utf-8")
    with pytest.raises(RunError, match="has no function score"):
        check_rewards(recipe(f"python={file}:score"))


@pytest.mark.parametrize(("batch", "accumulation", "generations", "near"), [
    (4, 4, 5, "Make it 15 or 20"), (1, 4, 8, "Make it 8 "), (3, 2, 4, "Make it 4 or 8"),
])
def test_a_batch_that_holds_no_whole_groups_is_told_with_the_nearest_that_do(
    batch: int, accumulation: int, generations: int, near: str
) -> None:
    with pytest.raises(RecipeError) as told:
        check_rewards(recipe(
            "json_valid", training__batch_size=batch, reinforcement__generations=generations,
            training__gradient_accumulation=accumulation))
    assert near in told.value.hint
    assert f"cannot be shared out in groups of {generations}" in told.value.message
