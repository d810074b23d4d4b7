"""Memory that runs out in an answer: what a person reads. A training beside it goes on."""

from __future__ import annotations

import traceback

from studio.errors import ModelError
from studio.hardware.chat_memory import CONVERSATION_TOKENS
from studio.training.out_of_memory import is_out_of_memory

HOW_TO_NEED_LESS = "Or choose a smaller base or fewer columns."
"""Behind what else can be done where a chat does not fit beside other work."""


def how_to_need_less(tokens: int) -> str:
    """The same for a conversation that grows to `tokens`, 0 where that is not known yet."""
    if tokens <= CONVERSATION_TOKENS:
        return HOW_TO_NEED_LESS
    return (f"{HOW_TO_NEED_LESS} With the longest answer this conversation is {tokens:,} tokens "
            "long: begin a new one, or let answers be shorter.")


def say_if_memory_ran_out(error: Exception, what: str = "this answer") -> None:
    """Raise ModelError where `error` says so; `what` was being computed.

    Lets go of what the frames held in which it was raised: the error may be shown for long.
    """
    if is_out_of_memory(error):
        traceback.clear_frames(error.__traceback__)
        raise ModelError(
            f"The memory was not enough for {what}.",
            "Choose fewer columns or a smaller base, begin a new conversation, or wait until what "
            "else is at work is done.") from error
