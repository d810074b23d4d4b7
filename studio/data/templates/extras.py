"""The extras of a sample: what not every chat template has a place for."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Literal

from studio.data.samples import Conversation, PlainText, Preference, PromptOnly, Sample, Turn

Extra = Literal["system", "tools", "reasoning"]
_REASONING = ("reasoning_content", "thinking", "reasoning")


def extras_of(sample: Sample) -> set[Extra]:
    """What of "system", "tools" and "reasoning" a sample has."""
    found: set[Extra] = set()
    if not isinstance(sample, PlainText) and sample.tools:
        found.add("tools")
    for turn in _turns(sample):
        if turn["role"] == "system":
            found.add("system")
        elif turn["role"] == "tool" or turn.get("tool_calls"):
            found.add("tools")
        if any(turn.get(name) for name in _REASONING):
            found.add("reasoning")
    return found


def _turns(sample: Sample) -> Iterable[Turn]:
    if isinstance(sample, PlainText):
        return ()
    if isinstance(sample, Conversation):
        return sample.turns
    if isinstance(sample, PromptOnly):
        return sample.prompt
    if isinstance(sample, Preference):
        return chain(sample.prompt, sample.chosen, sample.rejected)
    return chain(sample.prompt, sample.completion)
