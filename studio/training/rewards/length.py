"""A reward for the length of an answer: highest at the length that is wanted."""

from __future__ import annotations


def length_reward(tokens: int, wanted: int) -> float:
    """1 for an answer of `wanted` tokens, falling evenly to 0 for an empty one and for one of
    twice that length."""
    return max(0.0, 1.0 - abs(tokens - wanted) / wanted)
