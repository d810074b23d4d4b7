"""What a method measures beside its loss: margins, rewards, lengths. Names and words, written once.

A `log` or `eval` event carries them as `measures`, by these names. Which of TRL's numbers they are
is here too, so that the page never sees TRL's names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """`keys`: what TRL's trainers call it, the first that is there counts. `is_share`: 0 to 1."""

    name: str
    label: str
    keys: tuple[str, ...]
    is_share: bool = False


_ALL = (
    Measure("margin", "Margin", ("rewards/margins", "margin")),
    Measure("accuracy", "Preferred answer wins", ("rewards/accuracies", "accuracy"), True),
    Measure("chosen_reward", "Reward of chosen answers", ("rewards/chosen",)),
    Measure("rejected_reward", "Reward of rejected answers", ("rewards/rejected",)),
    Measure("reward", "Reward", ("reward", "mean_reward")),
    Measure("reward_spread", "Spread of the rewards", ("reward_std",)),
    Measure("no_spread", "Prompts whose answers all got the same", ("frac_reward_zero_std",), True),
    Measure("answer_tokens", "Tokens per answer", ("completions/mean_length",)),
    Measure("cut_answers", "Answers cut", ("completions/clipped_ratio",), True),
    Measure("kl", "Distance from the start (KL)", ("kl",)),
    Measure("entropy", "Entropy", ("entropy",)),
)
MEASURES = {measure.name: measure for measure in _ALL}
SHOWN = {
    "sft": (), "pretrain": (),
    "dpo": ("margin", "accuracy", "chosen_reward", "rejected_reward"),
    "orpo": ("margin", "accuracy", "chosen_reward", "rejected_reward"),
    "kto": ("margin", "chosen_reward", "rejected_reward", "kl"),
    "reward": ("margin", "accuracy", "reward"),
    "grpo": ("reward", "reward_spread", "no_spread", "answer_tokens", "cut_answers", "kl"),
    "rloo": ("reward", "reward_spread", "no_spread", "answer_tokens", "cut_answers", "kl"),
}
"""By training method: what its page shows, the most telling first."""


def measures_in(logs: Mapping[str, Any], method: str) -> dict[str, float]:
    """Those of TRL's numbers that are shown for `method`, under our names; what is no finite
    number is left out. Rewards of single functions are kept as reward/NAME."""
    found = {}
    for name in SHOWN[method]:
        value = next((logs[key] for key in MEASURES[name].keys if key in logs), None)
        if value is not None and math.isfinite(value):
            found[name] = float(value)
    for key, value in logs.items():
        if key.startswith("rewards/") and key.endswith("/mean") and math.isfinite(value):
            found[f"reward/{key[8:-5]}"] = float(value)
    return found


def measure_text(name: str, value: float | None) -> str:
    """A measure as a person reads it: a share in percent, a dash for none."""
    if value is None:
        return "–"
    is_share = name in MEASURES and MEASURES[name].is_share
    return f"{100 * value:.0f} %" if is_share else f"{value:.4g}"
