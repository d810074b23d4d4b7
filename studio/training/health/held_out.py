"""What the held-out loss says beside the training loss: overfitting, a leak, no number."""

from __future__ import annotations

import math
import statistics

from studio.story import Alarm
from studio.training.health.advice import learn_less
from studio.training.health.curve import Curve


def overfitting(curve: Curve) -> Alarm | None:
    """The held-out loss has risen for two evaluations or more while the training loss falls."""
    losses = [loss for _, loss in curve.evals if math.isfinite(loss)]
    if len(losses) < 3 or len(losses) != len(curve.evals) or len(curve.losses) < 6:
        return None
    best = min(range(len(losses)), key=lambda index: losses[index])
    best_step, lowest = curve.evals[best]
    if len(losses) - 1 - best < 2 or losses[-1] < losses[-2] or losses[-1] < 1.02 * lowest + 0.005:
        return None
    around = [p.loss for p in curve.points if p.step <= best_step and math.isfinite(p.loss)]
    if not around or curve.recent >= statistics.median(around[-curve.window:]):
        return None
    recipe = curve.facts.recipe
    result = ("The result will be that step's (training.keep: best)."
              if recipe.training.keep == "best" else
              "Its checkpoint is kept; training.keep: best makes it the result.")
    return curve.alarm(
        "overfitting", "warning",
        f"Overfitting: the held-out loss is {losses[-1]:.3f} and rising, it was {lowest:.3f} after "
        f"step {best_step}, while the training loss falls.",
        f"{result} Next time: fewer training.epochs, training.early_stopping_patience, more "
        f"varied examples, {learn_less(recipe)}.")


def leak(curve: Curve) -> Alarm | None:
    """Held-out examples that are far easier than those trained on at that very time."""
    if len(curve.evals) < 2 or len(curve.losses) < 3:
        return None
    # The lowest of the last losses: a curve that falls fast is compared with its present end.
    now = min(curve.losses[-5:])
    later = [loss for _, loss in curve.evals[-2:]]
    if now < 0.2 or not all(loss < 0.4 * now for loss in later):
        return None
    return curve.alarm(
        "leak", "warning",
        f"The held-out loss, {later[-1]:.3f}, is far below the training loss, {now:.2f}.",
        "Held-out examples should be as hard as the others. Look for copies of them in the "
        "training part (Dataset tab, duplicates), or hold out by groups: data.held_out: grouped.")


def held_out_not_finite(curve: Curve) -> Alarm | None:
    """An evaluation without a number."""
    if not curve.evals or math.isfinite(curve.evals[-1][1]):
        return None
    return curve.alarm(
        "not_finite", "bad", "The held-out loss is not a number.",
        "If the training loss is one, a held-out example is at fault: look for very long or odd "
        "ones. In float16 take bfloat16 or float32 (model.dtype).")
