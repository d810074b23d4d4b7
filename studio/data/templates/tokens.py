"""What chat templates need to know of a tokenizer's special tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def token_id(tokenizer: PreTrainedTokenizerBase, text: str) -> int | None:
    """The number of a text that is one token wherever it stands; None where it is spelled."""
    number = tokenizer.convert_tokens_to_ids(text)
    if number in (None, tokenizer.unk_token_id):
        return None
    return int(number) if tokenizer.encode(text, add_special_tokens=False) == [number] else None


def adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether this tokenizer puts a begin-of-text token before plain text."""
    bos = tokenizer.bos_token_id
    return bos is not None and list(tokenizer("a")["input_ids"])[:1] == [bos]


def is_special(tokenizer: PreTrainedTokenizerBase, number: int) -> bool:
    """Whether a token was added to the vocabulary as a whole, as all special ones are."""
    return number in tokenizer.added_tokens_decoder
