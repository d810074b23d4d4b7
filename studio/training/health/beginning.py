"""What the beginning says: too few steps, a warm-up without end, weights that cannot move."""

from __future__ import annotations

from typing import Any

from studio.errors import RunError
from studio.recipe.method_words import method_words
from studio.story import Alarm
from studio.training.health.curve import Facts

_FEW_STEPS = 20


def before_the_first_step(facts: Facts) -> list[Alarm]:
    """What is odd about the length of the run."""
    return [found for found in (_short(facts), _long_warmup(facts)) if found is not None]


def _short(facts: Facts) -> Alarm | None:
    training = facts.recipe.training
    if training.max_steps or facts.total_steps >= _FEW_STEPS:
        return None
    examples = method_words(training.method).counted(training.effective_batch_size)
    steps = f"{facts.total_steps} optimizer step{'s' if facts.total_steps > 1 else ''}"
    return Alarm(
        "short_run", "warning", 0,
        f"This run has only {steps}, of {examples} each.",
        "That is little to learn from. More training.epochs, or a smaller "
        "training.gradient_accumulation, give more steps; a few hundred are usual.")


def _long_warmup(facts: Facts) -> Alarm | None:
    if facts.total_steps < 2 or 2 * facts.warmup_steps < facts.total_steps:
        return None
    return Alarm(
        "long_warmup", "warning", 0,
        f"The learning rate rises for {facts.warmup_steps} of {facts.total_steps} steps and is "
        "hardly ever at its height.",
        "Set training.warmup_ratio to 0.03 to 0.1.")


def standing_still(moved_share: float, step: int, *, in_16_bits: bool) -> Alarm | None:
    """Of the trained weights only `moved_share` differ from what they were before the first step.

    A step that is less than half the distance of two neighbouring numbers of a format is lost:
    in bfloat16 that distance is a 128th to a 256th of the number.
    """
    hint = ("The steps are too small for the number format: raise training.learning_rate, or train "
            "in float32 (model.dtype), or an adapter, which is in float32 always."
            if in_16_bits else "The steps are too small: raise training.learning_rate.")
    if moved_share < 0.02:
        return Alarm("frozen", "bad", step,
                     f"The weights do not move: after {step} steps they are what they were.", hint)
    if in_16_bits and moved_share < 0.5:
        return Alarm("frozen", "warning", step,
                     f"Only {moved_share:.0%} of the weights have moved after {step} steps.", hint)
    return None


def require_trainable(model: Any) -> int:
    """How many weights are trained. Raises RunError where there is none."""
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if not count:
        raise RunError("Nothing is trainable: every weight of the model is frozen.",
                       "Set adapter.method to lora and adapter.targets to all-linear.")
    return count
