"""Hand-made curves: losses, norms, rates and evaluations in, alarms out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from studio.recipe import Recipe
from studio.story import Alarm, Point
from studio.training.health import Facts, Health

VOCABULARY = 32_000


def alarms(
    losses: Sequence[float], *, evals: dict[int, float] | None = None,
    norms: Sequence[float] | None = None, rates: Sequence[float] | None = None,
    speeds: Sequence[float] | None = None, steps_per_epoch: int = 10_000, total_steps: int = 0,
    seconds_per_step: float = 5.0, **values: Any,
) -> list[Alarm]:
    """What a run with these curves raises, in order; `values` are recipe fields with __."""
    recipe = Recipe().with_values({key.replace("__", "."): value for key, value in values.items()})
    health = Health(Facts(recipe, total_steps or len(losses), VOCABULARY))
    found: list[Alarm] = []
    for index, loss in enumerate(losses):
        step = index + 1
        found += health.logged(Point(
            step, step / steps_per_epoch, loss, rates[index] if rates else 2e-4,
            norms[index] if norms else 0.5, speeds[index] if speeds else 1000.0, 100 * step,
            seconds_per_step * step))
        if evals and step in evals:
            found += health.evaluated(step, evals[step])
    return found


def kinds(*args: Any, **values: Any) -> list[str]:
    """The kinds of `alarms`, in order."""
    return [alarm.kind for alarm in alarms(*args, **values)]


def noisy(count: int, curve: Callable[[int], float], spread: float, seed: int = 0) -> list[float]:
    """`curve` at 0, 1, ..., with log-normal noise: 0.6 is a batch of one, 0.1 one of many."""
    rng = random.Random(seed)
    return [curve(index) * math.exp(rng.gauss(0, spread)) for index in range(count)]


def learning(start: float = 2.2, end: float = 1.2, steps: float = 40) -> Callable[[int], float]:
    """Falls from `start` to `end` as 1/e in `steps`."""
    return lambda index: end + (start - end) * math.exp(-index / steps)
