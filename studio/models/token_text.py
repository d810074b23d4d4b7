"""The text that each new token of an answer adds, without decoding the whole answer again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TokenText:
    """Joined, what `add` gives is the answer; special tokens add nothing.

    Decodes a few tokens at a time and not one by one, since some tokenizers write a blank only
    between two tokens. A character that takes several tokens comes with its last one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._known = 0
        """Of `_ids`, those whose text was given already; they stand there for their blanks."""

    def add(self, token_id: int) -> str:
        """The text that this token completes; empty within a character."""
        self._ids.append(token_id)
        before, now = self._decode(self._ids[:self._known]), self._decode(self._ids)
        if now.endswith("\ufffd") or len(now) <= len(before):
            return ""
        self._ids, self._known = self._ids[self._known:], len(self._ids) - self._known
        return now[len(before):]

    def rest(self) -> str:
        """What an answer that ends here still has, without the first bytes of half a character."""
        known = self._ids[:self._known]
        return self._decode(self._ids)[len(self._decode(known)):].rstrip("\ufffd")

    def alone(self, token_id: int) -> str:
        """The text of this token behind what was given: U+FFFD for a part of a character."""
        known = self._ids[:self._known]
        return self._decode([*known, token_id])[len(self._decode(known)):]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True,
                                          clean_up_tokenization_spaces=False))
