"""What margins and rewards of given answers say: told apart at once, or both answers falling."""

from __future__ import annotations

import statistics

from studio.story import Alarm
from studio.training.health.curve import Curve

_POINTS = 10
_FALLEN = -1.0
"""As a reward: at the usual beta of 0.1 an answer is then e^10 times less likely than before."""
_EARLY = 0.25


def told_apart(curve: Curve) -> Alarm | None:
    """Every pair is told apart early in the run, so that the rest of it teaches little."""
    facts = curve.facts
    if facts.recipe.training.method not in ("dpo", "reward") \
            or curve.step > _EARLY * facts.total_steps:
        return None
    right = _last(curve, "accuracy")
    if len(right) < _POINTS or min(right) < 1:
        return None
    return curve.alarm(
        "told_apart", "warning",
        f"Since step {curve.points[-_POINTS].step} the better answer of every pair has won, and "
        f"{facts.total_steps - curve.step:,} steps are to go: they will teach little.",
        "Mostly the answers differ in something easy, such as their length or form, and that is "
        "what was learned: look at a few pairs in the Dataset tab. If the pairs are as they should "
        "be, fewer training.epochs or a lower training.learning_rate are enough.")


def both_fall(curve: Curve) -> Alarm | None:
    """The chosen answers have become far less likely too, only the rejected ones even less."""
    wanted = curve.facts.recipe.preference
    if curve.facts.recipe.training.method not in ("dpo", "kto") or wanted.loss == "apo_down":
        return None
    chosen, margins = _last(curve, "chosen_reward"), _last(curve, "margin")
    if min(len(chosen), len(margins)) < _POINTS:
        return None
    reward, margin = statistics.median(chosen), statistics.median(margins)
    if reward > _FALLEN or margin < 0:
        return None
    return curve.alarm(
        "both_fall", "warning",
        f"The chosen answers have become less likely than before training too (reward {reward:.2f}"
        "): the model moves off both answers of a pair, to something that nobody chose.",
        "Read the samples. A lower training.learning_rate, a higher preference.beta, fewer "
        "training.epochs, or a method that also raises the chosen answers (preference.loss: "
        "apo_zero, or training.method: orpo) keep them.")


def _last(curve: Curve, name: str) -> list[float]:
    found = [point.measures[name] for point in curve.points[-4 * _POINTS:]
             if name in point.measures]
    return found[-_POINTS:]
