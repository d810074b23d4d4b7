"""One column's answer in numbers: what came, how fast, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Ending = Literal["", "end", "length", "context", "stopped"]
"""Why an answer ended: not yet, the model or a stop string, the token limit, the context, the
person."""


@dataclass
class Turn:
    """Filled while the answer grows. `token_ids` leaves out the end token; times in seconds.

    `context_tokens` is what the model reads at most, None where it names no limit. `opening` is
    the tag of a thought that the chat template began, so that `text` goes on inside it.
    """

    column: str
    prompt_tokens: int
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    seconds_to_first_token: float | None = None
    seconds: float = 0.0
    ending: Ending = ""
    context_tokens: int | None = None
    opening: str = ""

    @property
    def tokens(self) -> int:
        """Tokens answered so far."""
        return len(self.token_ids)

    @property
    def tokens_per_second(self) -> float | None:
        """Speed after the first token, which also waits for the prompt to be read."""
        if self.seconds_to_first_token is None or self.tokens < 2:
            return None
        writing = self.seconds - self.seconds_to_first_token
        return (self.tokens - 1) / writing if writing > 0 else None

    def ending_at(self, limit: int, wanted_tokens: int) -> Ending:
        """Why nothing more comes where the model did not end it: at `limit` tokens either as many
        as were wanted are there, or the context is full; before, the person stopped it."""
        if self.tokens < limit:
            return "stopped"
        return "length" if limit == wanted_tokens else "context"

    def add(self, token_id: int, seconds: float, end_ids: frozenset[int]) -> bool:
        """Take one token that came `seconds` after the start; after the end, nothing counts.

        Whether it is a token of the answer, which the end token is not.
        """
        if self.ending:
            return False
        self.seconds = seconds
        if self.seconds_to_first_token is None:
            self.seconds_to_first_token = seconds
        if token_id in end_ids:
            self.ending = "end"
            return False
        self.token_ids.append(token_id)
        return True
