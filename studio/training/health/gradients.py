"""What gradients and learning rate say: exploding, nothing arrives, a rate of zero."""

from __future__ import annotations

import math
import statistics

from studio.recipe.used import is_used
from studio.story import Alarm
from studio.training.health.curve import Curve, lower_rate


def exploding(curve: Curve) -> Alarm | None:
    """Most of the last gradients are ten times as long as usual in this run, or beyond measure."""
    norms = [p.grad_norm for p in curve.points[-400:]
             if p.grad_norm is not None and math.isfinite(p.grad_norm)]
    if len(norms) < 6:
        return None
    usual = statistics.median(norms[:-5])
    limit = max(10 * usual, 5.0) if len(norms) >= 15 else max(10 * usual, 100.0)
    large = [norm for norm in norms[-5:] if norm > limit]
    if len(large) < 3:
        return None
    clip = curve.facts.recipe.training.max_grad_norm
    clipped = (f"They are clipped to {clip:g}, so the run may survive. " if clip else
               "Nothing clips them: set training.max_grad_norm to 1. ")
    return curve.alarm(
        "exploding", "warning",
        f"The gradients explode: their norm is {statistics.median(large):.3g}, {usual:.3g} was "
        "usual.",
        f"{clipped}{lower_rate(curve.facts.recipe)} A larger training.gradient_accumulation "
        "smooths them.")


def vanishing(curve: Curve) -> Alarm | None:
    """There is a loss, but no gradient reaches the trained weights."""
    last = curve.points[-3:]
    if len(last) < 3 or any(p.grad_norm is None or p.grad_norm > 1e-9 or not p.loss > 0.01
                            for p in last):
        return None
    elsewhere = (" Otherwise the adapter sits on modules that the answer does not depend on: set "
                 "adapter.targets to all-linear."
                 if is_used("adapter.targets", curve.facts.recipe) else "")
    return curve.alarm(
        "vanishing", "bad", "The gradient is zero: the weights learn nothing.",
        f"In float16 small gradients vanish: take bfloat16 or float32 (model.dtype).{elsewhere}")


def rate_zero(curve: Curve) -> Alarm | None:
    """The learning rate is zero with steps still to go."""
    facts, last = curve.facts, curve.points[-2:]
    left = facts.total_steps - curve.step
    least = 1e-6 * facts.recipe.learning_rate
    if len(last) < 2 or left <= max(2, 0.02 * facts.total_steps) or any(
            p.learning_rate > least for p in last):
        return None
    return curve.alarm(
        "rate_zero", "bad",
        f"The learning rate is zero with {left:,} steps to go: they teach nothing.",
        "The schedule does not fit the length of the run. Stop and keep it, or start again with "
        "training.scheduler: constant.")
