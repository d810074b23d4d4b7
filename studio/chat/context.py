"""How much of what a model can read and write together a conversation takes, and when to say so.

Counts nothing itself: a session counts a prompt, a conversation knows what its answers took.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NEARLY_FULL = 0.9
"""Share of the context from which on a person is told."""
WAYS_OUT = "Edit an earlier turn, begin a new conversation, or shorten the system prompt."


@dataclass(frozen=True)
class ContextUse:
    """`used_tokens` of `limit_tokens`, which is None where the model names no limit."""

    column: str
    used_tokens: int
    limit_tokens: int | None

    @property
    def left_tokens(self) -> int | None:
        """How many still fit, at least 0; None without a limit."""
        return None if self.limit_tokens is None else max(0, self.limit_tokens - self.used_tokens)

    @property
    def share(self) -> float | None:
        """From 0 to 1, or above where it is too long; None without a limit."""
        return self.used_tokens / self.limit_tokens if self.limit_tokens else None

    @property
    def is_full(self) -> bool:
        """Whether not one more token fits."""
        return self.left_tokens == 0

    def warning(self, longest_answer_tokens: int) -> str:
        """What a person should know before the next prompt; "" while there is room for an answer
        of `longest_answer_tokens`."""
        left, share = self.left_tokens, self.share
        if left is None or share is None:
            return ""
        if left == 0:
            return f"{self.said} {WAYS_OUT}"
        if left >= longest_answer_tokens and share < NEARLY_FULL:
            return ""
        return (f"The conversation of {self.column} takes {self.used_tokens:,} of the "
                f"{self.limit_tokens:,} tokens that the model reads, so the next prompt and its "
                f"answer have {left:,} left, and an answer may take {longest_answer_tokens:,}. "
                f"{WAYS_OUT}")

    @property
    def said(self) -> str:
        """The two numbers in a sentence."""
        if self.limit_tokens is None:
            return (f"The conversation is {self.used_tokens:,} tokens long for {self.column}; the "
                    "model names no limit.")
        return (f"The conversation is {self.used_tokens:,} tokens long for {self.column}, but the "
                f"model reads at most {self.limit_tokens:,}.")


def tightest(uses: Iterable[ContextUse]) -> ContextUse | None:
    """The column that is full first; None where no model names a limit."""
    limited = [use for use in uses if use.left_tokens is not None]
    return min(limited, key=lambda use: use.left_tokens or 0, default=None)
