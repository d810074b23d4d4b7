"""A column with its question, and its answer as it grows on the consumer's side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.chat.answer_text import AnswerText
from studio.chat.turn import Ending, Turn

if TYPE_CHECKING:
    from studio.chat.reader import Reader
    from studio.chat.session import Column


class AnswerRow:
    """Takes tokens and writes the turn. `ids` is the prompt; times in seconds."""

    def __init__(self, column: Column, turn: Turn, ids: list[int], reader: Reader) -> None:
        self.column = column
        self.turn = turn
        self.ids = ids
        self.reader = reader
        self.begin(())

    def begin(self, stop_strings: tuple[str, ...]) -> None:
        """Before the first token: the texts that end this answer."""
        self._text = AnswerText(self.reader.tokenizer, stop_strings)

    def is_over(self) -> bool:
        """Whether more tokens would count for nothing. Asked on the computing thread."""
        return bool(self.turn.ending)

    def take(self, token_id: int, seconds: float) -> None:
        """The next token, `seconds` after the start."""
        if self.turn.add(token_id, seconds, self.reader.end_ids):
            self._text.add(token_id)
            if self._text.is_stopped:
                self.turn.ending = "end"

    def show(self) -> None:
        """Bring the turn's text up to date."""
        self.turn.text += self._text.grown(is_over=bool(self.turn.ending))

    def end(self, ending: Ending) -> None:
        """Nothing more comes; `ending` says why, unless it had ended before."""
        self.turn.ending = self.turn.ending or ending
        self.show()
