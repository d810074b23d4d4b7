"""What the training loss says: diverging, spikes, zero, by heart, flat, a strange beginning."""

from __future__ import annotations

import math
import statistics

from studio.adapters.words import usual_for_words
from studio.recipe import Recipe
from studio.recipe.used import is_used
from studio.story import Alarm
from studio.training.health.advice import learn_less, learn_more
from studio.training.health.curve import (
    Curve,
    Level,
    lower_rate,
    noise,
    relative_noise,
)

_ZERO = 1e-7
_BY_HEART = 0.02
_HIGH_START = 5.0
"""A trained model that reads texts in its own template starts far below, mostly at 0.5 to 3."""


def diverging(curve: Curve) -> Alarm | None:
    """The loss has risen far above where it was, and stays there."""
    if len(curve.losses) < 8:
        return None
    # The first loss alone is from before the first step; the next ones may be far up already.
    first, vocabulary = curve.losses[0], curve.facts.vocabulary
    spread = relative_noise(curve.losses[:6])
    levels = [Level(first, 1, spread), Level(statistics.median(curve.losses[:3]), 3, spread)]
    if curve.lowest is not None:
        levels.append(curve.lowest)
    low = min(level.median for level in levels)
    worse_than_guessing = vocabulary > 1 and curve.recent > 1.2 * math.log(vocabulary)
    by_chance = 0.0 if worse_than_guessing else \
        min(level.limit(curve.window) for level in levels)
    if curve.recent <= max(by_chance, 1.5 * low, low + 0.5, 1.15 * first):
        return None
    return curve.alarm(
        "diverging", "bad",
        f"The loss has risen from {low:.2f} to {curve.recent:.2f}: the run is coming apart.",
        f"{lower_rate(curve.facts.recipe)} A longer warm-up and gradient clipping at 1 help too.")


def spike(curve: Curve) -> Alarm | None:
    """One loss stands far above those before it, measured by their own spread."""
    if len(curve.losses) < 21 or min(curve.losses[-41:]) <= 0:
        return None
    before = [math.log(loss) for loss in curve.losses[-41:-1]]
    middle = statistics.median(before)
    spread = 1.4826 * statistics.median([abs(value - middle) for value in before])
    loss = curve.losses[-1]
    jump = math.log(loss) - middle
    if jump <= max(math.log(2.5), 7 * spread) or loss - math.exp(middle) < 0.5:
        return None
    return curve.alarm(
        "spike", "warning",
        f"The loss jumped from {math.exp(middle):.2f} to {loss:.2f} at this step.",
        "Once is nothing. If it comes back: look for odd or very long examples in the data, raise "
        "training.gradient_accumulation, or lower training.learning_rate.")


def loss_zero(curve: Curve) -> Alarm | None:
    """Exactly nothing to learn from: no token carries loss, or the numbers ran out."""
    if len(curve.losses) < 2 or max(curve.losses[-2:]) > _ZERO:
        return None
    return curve.alarm(
        "loss_zero", "bad", "The loss is zero: nothing is learned any more.",
        "Either no token of the examples counts (answers cut off by data.max_length, or a chat "
        "template that does not fit: see the tokens of a record in the Dataset tab), or everything "
        "is known by heart.")


def by_heart(curve: Curve) -> Alarm | None:
    """A training loss near zero that the held-out part does not confirm, or steps at each epoch."""
    return _near_zero(curve) or _falls_with_each_epoch(curve)


def _near_zero(curve: Curve) -> Alarm | None:
    if len(curve.losses) < 10 or statistics.median(curve.losses[:3]) < 0.1:
        return None
    recent = curve.recent
    if not _ZERO < recent < _BY_HEART or (
            curve.evals and curve.evals[-1][1] <= max(0.1, 5 * recent)):
        return None
    held_out = (f", the held-out loss is {curve.evals[-1][1]:.2f}" if curve.evals else
                ", and nothing is held out that would show whether it understood them")
    return curve.alarm(
        "by_heart", "warning",
        f"The training loss is {recent:.3f}: the examples are known by heart{held_out}.",
        f"Fewer training.epochs, more or more varied examples, {learn_less(curve.facts.recipe)}, "
        "or training.keep: best.")


def _falls_with_each_epoch(curve: Curve) -> Alarm | None:
    """Seen for the second time, an example that was learned by heart has a lower loss at once."""
    width = 8
    if len(curve.points) < 3 * width or len(curve.losses) != len(curve.points):
        return None
    epochs = [point.epoch for point in curve.points[-width - 1:]]
    border = math.floor(epochs[-1])
    if border < 1 or not epochs[0] <= border < epochs[1]:
        return None
    after, before = curve.losses[-width:], curve.losses[-2 * width:-width]
    drop = statistics.fmean(before) - statistics.fmean(after)
    shaky = max(noise(before), noise(after)) * math.sqrt(2 / width)
    was_falling = statistics.fmean(curve.losses[-3 * width:-2 * width]) - statistics.fmean(before)
    if drop < max(0.25 * statistics.fmean(before), 5 * shaky, 3 * was_falling):
        return None
    return curve.alarm(
        "by_heart", "warning",
        f"The loss fell from {statistics.fmean(before):.2f} to {statistics.fmean(after):.2f} as "
        f"epoch {border + 1} began: the examples are being learned by heart.",
        "Compare with the held-out loss; where it no longer falls, fewer training.epochs are "
        "better.")


def not_learning(curve: Curve) -> Alarm | None:
    """Flat: sure enough, beside the noise, that hardly anything of the loss has gone."""
    facts, losses = curve.facts, curve.losses
    half = max(facts.warmup_steps + 30, facts.total_steps // 2)
    if len(losses) < 40 or len(losses) % 10 or curve.step < half:
        return None
    begun, now = losses[:max(8, len(losses) // 10)], losses[-(len(losses) // 4):]
    first, last = statistics.median(begun), statistics.median(now)
    error = 1.25 * noise(losses) * math.sqrt(1 / len(begun) + 1 / len(now))
    if last < 0.1 or first - last + 2 * error > 0.03 * first:
        return None
    if last > 1.2 * first:
        return None  # that is another alarm's matter
    recipe = facts.recipe
    rate, usual = recipe.learning_rate, recipe.usual_learning_rate
    advice = (f"training.learning_rate is {rate:g}; {usual:g} is usual for "
              f"{usual_for_words(recipe)}: raise it, by three to ten times." if rate < usual
              else f"{_look_at_tokens(recipe)} {learn_more(recipe)}".rstrip())
    return curve.alarm(
        "not_learning", "warning",
        f"The loss is flat: {first:.2f} at the beginning, {last:.2f} now.", advice)


def _look_at_tokens(recipe: Recipe) -> str:
    look = "Look at the tokens of a record in the Dataset tab"
    if not is_used("data.template", recipe):
        return f"{look}: is it the text that you mean?"
    return f"{look}: does the answer carry the loss, and is the chat template the model's own?"


def beginning(curve: Curve) -> Alarm | None:
    """The first losses, before much was learned, tell whether the model fits the data."""
    if len(curve.losses) != 3 or not math.isfinite(curve.points[-1].loss):
        return None
    # A run that comes apart at once is another alarm's matter.
    loss = min(curve.losses[0], statistics.median(curve.losses))
    vocabulary = curve.facts.vocabulary
    if vocabulary > 1 and loss > 0.75 * math.log(vocabulary):
        blind = math.log(vocabulary)
        return curve.alarm(
            "guessing", "warning",
            f"The first loss is {loss:.2f}; guessing blindly would have {blind:.2f}.",
            "The model knows nothing of these texts. Check that it is a trained one, that its "
            "files are whole, and that chat template and language fit it; chat with it first.")
    if loss > _HIGH_START:
        return curve.alarm(
            "high_start", "warning", f"The first loss is high: {loss:.2f}.",
            "Mostly the chat template is not the model's own, or the texts are of a kind that it "
            "never saw. Look at the tokens of a record in the Dataset tab.")
    if _ZERO < loss < 0.05:
        return curve.alarm(
            "known_already", "warning",
            f"The first loss is only {loss:.3f}: the model gives these answers without training.",
            "Check that whole answers carry the loss and not only their last tokens (data.loss_on, "
            "data.max_length), and that this model was not trained on these data before.")
    return None
