"""An answer's text as it grows token by token: what may be told of it, and when it is stopped.

The same for a column of the chat and for a request to the endpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.chat.stop_texts import StopTexts
from studio.models.token_text import TokenText

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class AnswerText:
    """Takes tokens of the answer and gives its text in pieces; joined they are the answer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop_strings: tuple[str, ...]) -> None:
        self._text = TokenText(tokenizer)
        self._stops = StopTexts(stop_strings)
        self._is_whole = False

    @property
    def is_stopped(self) -> bool:
        """Whether a stop text came."""
        return self._stops.is_met

    @property
    def seen(self) -> int:
        """Characters so far, those that cannot be told yet included."""
        return self._stops.seen

    @property
    def told(self) -> int:
        """Characters that were told."""
        return self._stops.released

    def add(self, token_id: int) -> None:
        """The next token of the answer."""
        self._stops.add(self._text.add(token_id))

    def grown(self, *, is_over: bool) -> str:
        """What can be told now: without what may be the beginning of a stop text, and without the
        first bytes of half a character. Nothing more once it was over."""
        if self._is_whole:
            return ""
        if is_over:
            self._is_whole = True
            self._stops.add(self._text.rest())
        return self._stops.release(is_over=is_over)

    def alone(self, token_id: int) -> str:
        """The text of a token, were it the next one."""
        return self._text.alone(token_id)
