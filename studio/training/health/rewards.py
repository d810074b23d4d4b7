"""What the rewards of a run's own answers say: nothing to learn from, a collapse, answers cut."""

from __future__ import annotations

import math
import statistics

from studio.story import Alarm
from studio.training.health.curve import Curve, noise

_STEPS = 10
_STANDARD_ERRORS = 5.5
"""As for losses, see `curve.Level`: chance hardly ever reaches it."""


def no_spread(curve: Curve) -> Alarm | None:
    """All answers to a prompt get the same, so that none of them is better than the others."""
    alike = _last(curve, "no_spread")
    if len(alike) < _STEPS or statistics.fmean(alike) < 0.95:
        return None
    reward = statistics.fmean(_last(curve, "reward"))
    return curve.alarm(
        "no_spread", "warning",
        f"For {_STEPS} steps nearly all answers to a prompt got the same reward ({reward:.2f} on "
        "average): there is nothing to learn from.",
        "Where that is the highest reward, the task is solved and the run can end. Otherwise make "
        "the reward tell more answers apart (a second one in reinforcement.rewards, such as "
        "length=100, or one of your own), raise reinforcement.generations or "
        "reinforcement.temperature, or begin with easier prompts.")


def collapsed(curve: Curve) -> Alarm | None:
    """The reward has fallen back most of the way, far beyond its noise."""
    rewards = [point.measures["reward"] for point in curve.points if "reward" in point.measures]
    window = curve.window
    if len(rewards) < 3 * window:
        return None
    means = [statistics.median(rewards[at:at + window])
             for at in range(0, len(rewards) - window + 1)]
    best, now = max(means[:-window]), means[-1]
    error = 1.25 * noise(rewards) * math.sqrt(2 / window)
    if best - now <= max(_STANDARD_ERRORS * error, 0.6 * (best - means[0]), 0.1 * abs(best)):
        return None
    usual = curve.facts.recipe.usual_learning_rate
    return curve.alarm(
        "reward_fell", "bad",
        f"The reward fell to {now:.2f}; it was {best:.2f} before.",
        "What came before the fall is in the checkpoints (training.keep: best takes the best "
        "evaluation). Start again with a lower training.learning_rate (it is "
        f"{curve.facts.recipe.learning_rate:g}, {usual:g} is usual), or hold the model to where it "
        "started with a higher reinforcement.beta.")


def always_cut(curve: Curve) -> Alarm | None:
    """No answer comes to its end, so the model is never rewarded for ending one."""
    cut = _last(curve, "cut_answers")
    if len(cut) < _STEPS or statistics.fmean(cut) < 0.95:
        return None
    tokens = curve.facts.recipe.reinforcement.answer_tokens
    return curve.alarm(
        "answers_cut", "warning",
        f"Nearly every answer is cut at {tokens:,} tokens: what is rewarded has no end.",
        "Raise reinforcement.answer_tokens, or reward shorter answers with length=N.")


def _last(curve: Curve, name: str) -> list[float]:
    found = [point.measures[name] for point in curve.points[-4 * _STEPS:]
             if name in point.measures]
    return found[-_STEPS:]
