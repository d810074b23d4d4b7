"""Hand-made curves of preferences: what they raise, and what they do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.story import Point
from studio.training.health import Facts, Health

Measures = Callable[[int], dict[str, float]]


def kinds(measures: Measures, *, steps: int = 60, loss: Callable[[int], float] | None = None,
          **values: Any) -> list[str]:
    """The alarms of a dpo run of 200 steps with these measures, of its first steps."""
    recipe = Recipe().with_values({"training.method": "dpo", **{
        key.replace("__", "."): value for key, value in values.items()}})
    health, found = Health(Facts(recipe, 200, 32_000)), []
    for step in range(1, steps + 1):
        value = loss(step) if loss else math.log(2) * math.exp(-step / 400)
        found += health.logged(Point(step, 0.1, value, 5e-6, 0.5, 100.0, step, float(step),
                                     measures=measures(step)))
    return [alarm.kind for alarm in found]


def well(step: int) -> dict[str, float]:
    """Learns slowly; most pairs are told apart in the end."""
    margin = step / 60
    return {"margin": margin, "accuracy": min(0.9, 0.5 + step / 100), "chosen_reward": margin / 3,
            "rejected_reward": -2 * margin / 3}


def test_a_run_that_learns_slowly_is_well() -> None:
    assert kinds(well) == []


@pytest.mark.parametrize("loss", [25.0, 1e-9, 0.69])
def test_where_the_loss_begins_says_nothing(loss: float) -> None:
    assert kinds(well, steps=5, loss=lambda _: loss, preference__loss="ipo") == []


@pytest.mark.parametrize(("method", "told"), [("dpo", True), ("reward", True), ("orpo", False)])
def test_pairs_that_are_all_told_apart_at_once_are_told_once(method: str, told: bool) -> None:
    found = kinds(lambda step: {**well(step), "accuracy": float(step > 3)}, training__method=method)
    assert found.count("told_apart") == told


def test_pairs_that_are_told_apart_late_are_what_is_wanted() -> None:
    assert kinds(lambda step: {**well(step), "accuracy": float(step > 55)}, steps=200) == []


@pytest.mark.parametrize(("values", "told"), [
    ({}, True), ({"training__method": "kto"}, True), ({"preference__loss": "apo_down"}, False)])
def test_chosen_answers_that_fall_with_the_rejected_ones_are_told(
    values: dict[str, Any], told: bool
) -> None:
    def falling(step: int) -> dict[str, float]:
        return {"margin": step / 20, "accuracy": 0.9, "chosen_reward": -step / 20,
                "rejected_reward": -step / 10}

    assert kinds(falling, **values).count("both_fall") == told
    assert kinds(lambda step: {**falling(step), "chosen_reward": -0.5}, **values) == []
