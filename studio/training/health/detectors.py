"""All detectors on one curve: each alarm once per stretch, also after a resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from studio.recipe.method_words import method_words
from studio.story import Alarm, Point, Story
from studio.training.health import (
    gradients,
    held_out,
    losses,
    preferences,
    rewards,
    speed,
)
from studio.training.health.curve import Curve, Facts

Detector = Callable[[Curve], Alarm | None]
OF_POINTS: Sequence[Detector] = (
    losses.beginning, losses.diverging, losses.spike, losses.loss_zero, losses.by_heart,
    losses.not_learning, gradients.exploding, gradients.vanishing, gradients.rate_zero, speed.slow,
)
OF_PREFERENCES: Sequence[Detector] = (
    losses.diverging, losses.spike, losses.by_heart, losses.not_learning, preferences.told_apart,
    preferences.both_fall, gradients.exploding, gradients.vanishing, gradients.rate_zero,
    speed.slow,
)
"""Where the loss compares answers: it begins at a number of its own, and near zero is well."""
OF_REWARDS: Sequence[Detector] = (
    rewards.no_spread, rewards.collapsed, rewards.always_cut,
    gradients.exploding, gradients.rate_zero, speed.slow,
)
"""Instead of those of points where a run learns from rewards: its loss says next to nothing."""
OF_EVALS: Sequence[Detector] = (held_out.overfitting, held_out.leak, held_out.held_out_not_finite)
QUIET = 20
"""So many points (or evaluations) without it end a stretch; after it the alarm may come again."""


class Health:
    """The detectors of one run. Feed it in the order of the run; give it the past of a resumed one.
    """

    def __init__(self, facts: Facts, past: Story | None = None) -> None:
        self.curve = Curve(facts)
        method = facts.recipe.training.method
        is_rewarded = method_words(method).is_rewarded
        self._of_points = OF_REWARDS if is_rewarded else \
            OF_PREFERENCES if method in ("dpo", "kto", "reward") else OF_POINTS
        self._of_evals = OF_EVALS[-1:] if is_rewarded else OF_EVALS
        self._standing: dict[str, int] = {}
        if past is not None:
            self._replay(past)

    def logged(self, point: Point) -> list[Alarm]:
        """The alarms that begin with this point."""
        self.curve.add(point)
        return self._begun(self._of_points)

    def evaluated(self, step: int, loss: float) -> list[Alarm]:
        """The alarms that begin with this evaluation."""
        self.curve.evals.append((step, loss))
        return self._begun(self._of_evals)

    def _begun(self, detectors: Sequence[Detector]) -> list[Alarm]:
        found = []
        for detector in detectors:
            alarm, key = detector(self.curve), detector.__name__
            if alarm is None:
                left = self._standing.get(key, 0) - 1
                self._standing[key] = max(left, 0)
            else:
                if not self._standing.get(key):
                    found.append(alarm)
                self._standing[key] = QUIET
        return found

    def _replay(self, past: Story) -> None:
        """What was told before is not told again."""
        events: list[tuple[int, int, Point | float]] = [
            *((point.step, 0, point) for point in past.points),
            *((step, 1, loss) for step, loss in past.evals)]
        for step, _, found in sorted(events, key=lambda event: event[:2]):
            if isinstance(found, Point):
                self.logged(found)
            else:
                self.evaluated(step, found)
