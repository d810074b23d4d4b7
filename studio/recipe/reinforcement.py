"""How a recipe learns from rewarded answers of its own (grpo, rloo). Fields only.

What a reward is called and how it is computed is in `studio/training/rewards`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from studio.recipe.base import Part, setting


class Reinforcement(Part):
    """Learning from rewarded answers of its own."""

    rewards: dict[str, float] = setting(
        {"similarity": 1.0}, "Rewards",
        "One a line with its weight: similarity: 1 (how near to the record's own answer; a good "
        "start), exact_match: 1, contains=text: 1, json_valid: 1, json_equal: "
        "1, regex=pattern: 1, length=100: 0.5 (tokens to aim at), model=RUN: 1 (a trained reward "
        "model), python=file.py:function: 1 (your own).",
    )
    generations: int = setting(
        4, "Answers per prompt", "Written for each prompt and compared with each other. The "
        "effective batch counts answers and must be a multiple of it.",
        ge=2, le=256, step=1, top=32,
    )
    answer_tokens: int = setting(
        128, "Tokens per answer", "Longer answers are cut.", ge=1, le=32_768, step=16, top=1024,
    )
    temperature: float = setting(
        1.0, "Temperature", "How freely the answers are drawn; too low, and they are all alike.",
        gt=0, le=5, step=0.1, top=2, rare=True,
    )
    top_p: float = setting(
        1.0, "Top-p", "Only the likeliest words that together have this probability are drawn.",
        gt=0, le=1, step=0.05, top=1, rare=True,
    )
    beta: float | None = setting(
        None, "Beta", "How strongly the model is held to where it started. Empty takes the usual: "
        "0 for grpo, 0.05 for rloo.", ge=0, le=100,
    )
    loss: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = setting(
        "dapo", "Loss of GRPO", "How the tokens of an answer are averaged; dapo does not favour "
        "short answers.", rare=True,
    )
    scale_rewards: Literal["group", "batch", "none"] = setting(
        "group", "Scale the rewards by", "group: the spread of a prompt's answers. batch: of all "
        "answers of a step.", rare=True,
    )
    iterations: int = setting(
        1, "Passes over the answers", "So many steps are taken on each set of answers.", ge=1,
        le=32, step=1, top=8, rare=True,
    )

    @field_validator("rewards")
    @classmethod
    def _rewards_usable(cls, value: dict[str, float]) -> dict[str, float]:
        if not value:
            raise ValueError("name at least one reward, such as similarity: 1")
        if not any(value.values()):
            raise ValueError("every reward has the weight 0: give one of them another")
        return value
