"""Hand-made curves of rewards: what they raise, and what they do not."""

from __future__ import annotations

import random
from collections.abc import Sequence

from studio.recipe import Recipe
from studio.story import Point
from studio.training.health import Facts, Health


def kinds(
    rewards: Sequence[float], *, no_spread: float = 0.2, cut: float = 0.1, norm: float = 0.5
) -> list[str]:
    """The alarms of a grpo run with these mean rewards; its loss is zero all the time."""
    recipe = Recipe().with_values({"training.method": "grpo"})
    health = Health(Facts(recipe, 1000, 32_000))
    found = []
    for step, reward in enumerate(rewards, 1):
        found += health.logged(Point(
            step, 0.1, 0.0, 1e-5, norm, 100.0, step, float(step),
            measures={"reward": reward, "no_spread": no_spread, "cut_answers": cut}))
        found += health.evaluated(step, -reward) if step % 10 == 0 else []
    return [alarm.kind for alarm in found]


def noisy(levels: Sequence[float], spread: float = 0.08) -> list[float]:
    rng = random.Random(0)
    return [level + rng.gauss(0, spread) for level in levels]


def test_a_run_that_learns_from_rewards_is_well_though_its_loss_is_zero() -> None:
    assert kinds(noisy([0.1 + 0.8 * step / 300 for step in range(300)])) == []


def test_noise_around_a_level_is_no_fall() -> None:
    assert kinds(noisy([0.4] * 400, 0.15)) == []
    assert kinds(noisy([0.0] * 100, 0.0)) == []


def test_a_reward_that_falls_back_for_good_is_told_once() -> None:
    rise = [0.1 + 0.7 * min(1, step / 60) for step in range(120)]
    assert kinds(noisy([*rise, *[0.15] * 60])) == ["reward_fell"]


def test_equal_rewards_for_many_steps_are_told_and_a_few_are_not() -> None:
    assert kinds([0.0] * 30, no_spread=1.0, norm=0.0) == ["no_spread"]
    assert kinds([0.5] * 9, no_spread=1.0) == []
    assert kinds([0.5] * 30, no_spread=0.8) == []


def test_answers_that_are_always_cut_are_told() -> None:
    assert kinds([0.5] * 30, cut=1.0) == ["answers_cut"]
    assert kinds([0.5] * 30, cut=0.7) == []
