"""One conversation or text as the trainer gets it, for tests."""

from __future__ import annotations

from typing import Any

from studio.data.encode import Encoded, encode
from studio.data.encoder import encoder_for
from studio.data.example import Example, example_of
from studio.data.samples import Conversation, PlainText, RowFault
from studio.recipe import Data


def render(conversation: list[dict[str, Any]] | str, tokenizer: Any, data: Data) -> Example:
    """Raises RowFault where it cannot be rendered."""
    sample = PlainText(conversation) if isinstance(conversation, str) else \
        Conversation(conversation)
    [one] = encode(encoder_for(tokenizer, data), [sample], with_offsets=True)
    if isinstance(one, RowFault):
        raise one
    assert isinstance(one, Encoded)
    return example_of(one, data.max_length)
