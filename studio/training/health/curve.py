"""What is known of a run so far, and the robust figures that detectors compare. Pure.

Losses of single steps are noisy, more so the smaller the batch: detectors look at medians of a
window, and ask that a change is large beside the noise from one step to the next.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from studio.adapters.words import usual_for_words
from studio.recipe import Recipe
from studio.story import Alarm, Point

_MOST_FOR_NOISE = 60
_STANDARD_ERRORS = 5.5
_FEW, _NOISE_OF_FEW, _NOISE_OF_SINGLE_EXAMPLES = 30, 0.25, 0.6


@dataclass(frozen=True)
class Facts:
    """What does not change during a run. `vocabulary` is the number of tokens, 0 if unknown."""

    recipe: Recipe
    total_steps: int
    vocabulary: int = 0

    @property
    def warmup_steps(self) -> int:
        """Steps in which the learning rate rises; a constant rate has none."""
        ratio = self.recipe.training.warmup_ratio
        return 0 if self.recipe.training.scheduler == "constant" else \
            math.ceil(ratio * self.total_steps)


@dataclass(frozen=True)
class Level:
    """Where the loss was: the median of `count` losses of a relative noise of `spread`."""

    median: float
    count: int
    spread: float

    def limit(self, count: int | None = None) -> float:
        """What the median of `count` other losses of the same kind hardly ever exceeds by chance.

        The median of n normal values has 1.25 (the root of pi / 2) times their spread by root n
        as its standard error; the lowest of many windows and a later one lie several apart.
        """
        parts = 1 / self.count + (1 / count if count else 0.0)
        return self.median * math.exp(_STANDARD_ERRORS * 1.25 * self.spread * math.sqrt(parts))


@dataclass
class Curve:
    """The logged points and the evaluations of a run, oldest first."""

    facts: Facts
    points: list[Point] = field(default_factory=list)
    evals: list[tuple[int, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Of `points`; those that are no number are left out."""
    lowest: Level | None = None
    """The lowest of the earlier windows that can be relied on."""

    def add(self, point: Point) -> None:
        """One more logged point."""
        self.points.append(point)
        if not math.isfinite(point.loss):
            return
        self.losses.append(point.loss)
        # The window before the present one, so that the present is compared with something else.
        window = self.window
        earlier = self.losses[-2 * window:-window]
        if len(earlier) >= min(window, 6):
            found = Level(statistics.median(earlier), len(earlier), relative_noise(
                self.losses[-_MOST_FOR_NOISE - window:-window]))
            self.lowest = min(self.lowest or found, found, key=Level.limit)

    @property
    def window(self) -> int:
        """Points that are looked at together: more of them, the longer the curve."""
        return min(40, max(6, len(self.losses) // 8))

    @property
    def recent(self) -> float:
        """Median loss of the present window."""
        return statistics.median(self.losses[-self.window:])

    @property
    def step(self) -> int:
        """The last step that is known of."""
        logged = self.points[-1].step if self.points else 0
        return max(logged, self.evals[-1][0] if self.evals else 0)

    def alarm(self, kind: str, level: str, text: str, hint: str) -> Alarm:
        """An alarm at the present step."""
        return Alarm(kind, level, self.step, text, hint)


def noise(values: Sequence[float]) -> float:
    """Standard deviation of one value around a smooth curve, from the steps between neighbours.

    1.4826 times the median of absolute differences is their standard deviation if they are
    normal (the MAD estimator), which is the square root of 2 times that of one value.
    """
    steps = [abs(after - before) for before, after in itertools.pairwise(values)]
    return 1.4826 * statistics.median(steps) / math.sqrt(2) if steps else 0.0


def relative_noise(losses: Sequence[float]) -> float:
    """`noise` of the logarithm: 0.1 for losses that vary by a tenth.

    Few losses count as noisy, and none as noisier than those of single examples.
    """
    found = noise([math.log(max(loss, 1e-12)) for loss in losses])
    spread = found if len(losses) > _FEW else max(found, _NOISE_OF_FEW)
    return min(spread, _NOISE_OF_SINGLE_EXAMPLES)


def lower_rate(recipe: Recipe) -> str:
    """Advice to lower the learning rate, with the one that is and the one that is usual."""
    rate, usual = recipe.learning_rate, recipe.usual_learning_rate
    wanted = usual if rate > 1.5 * usual else rate / 5
    return (f"Start again with a lower training.learning_rate, such as {wanted:g}; it is {rate:g}, "
            f"and {usual:g} is usual for {usual_for_words(recipe)}.")

