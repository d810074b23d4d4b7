"""One column's answer in numbers: what came, how fast, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Ending = Literal["", "end", "length", "context", "stopped"]
"""Why an answer ended: not yet, the model ended it, the token limit, the context, the person."""


@dataclass
class Turn:
    """Filled while the answer grows. `token_ids` leaves out the end token; times in seconds."""

    column: str
    prompt_tokens: int
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    seconds_to_first_token: float | None = None
    seconds: float = 0.0
    ending: Ending = ""

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

    def add(self, token_id: int, seconds: float, end_ids: frozenset[int]) -> None:
        """Take one token that came `seconds` after the start; after the end, nothing counts."""
        if self.ending:
            return
        self.seconds = seconds
        if self.seconds_to_first_token is None:
            self.seconds_to_first_token = seconds
        if token_id in end_ids:
            self.ending = "end"
        else:
            self.token_ids.append(token_id)
