"""Everything that turns samples into tokens, without the model: small enough to send to a worker.

Taken from a loaded tokenizer once; afterwards neither torch nor transformers' model code is
needed. The page's preview, the report, and the trainer's data all come from `encode.py` with one
of these.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy
import xxhash

from studio.data.templates import adds_bos, template_for
from studio.data.templates.rendering import special_tokens_of
from studio.errors import DataError
from studio.recipe import Data

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoder:
    """`backend` is the fast tokenizer as JSON; `template` the Jinja text that renders turns.

    `plain_has_bos` says that plain text gets the tokenizer's begin-of-text token.
    """

    backend: str = field(repr=False)
    template: str
    special_tokens: dict[str, str]
    loss_on: str
    plain_has_bos: bool

    @property
    def eos(self) -> str:
        """The token that ends plain text, "" where the tokenizer has none."""
        return self.special_tokens.get("eos_token", "")

    @property
    def bos(self) -> str:
        """The token that plain text may begin with, "" where the tokenizer has none."""
        return self.special_tokens.get("bos_token", "")

    @property
    def fingerprint(self) -> str:
        """Changes with everything that could change a token or a label."""
        parts = (self.backend, self.template, repr(sorted(self.special_tokens.items())),
                 self.loss_on, str(self.plain_has_bos))
        return xxhash.xxh3_128_hexdigest("\x00".join(parts).encode())

    @property
    def control_tokens(self) -> frozenset[str]:
        """The texts of the tokens that are no ordinary text."""
        added = self.tokenizer.get_added_tokens_decoder().values()
        return frozenset(token.content for token in added if token.special)

    @property
    def byte_lengths(self) -> numpy.ndarray | None:
        """How many bytes of text each token stands for, by its id; None where that is not fixed."""
        return _byte_lengths(self.backend)

    @property
    def tokenizer(self) -> Tokenizer:
        """The fast tokenizer itself; it neither cuts nor pads."""
        return _tokenizer(self.backend)


def encoder_for(tokenizer: PreTrainedTokenizerBase, data: Data) -> Encoder:
    """The encoder of a loaded tokenizer. Raises DataError for one that is not a fast tokenizer."""
    if not tokenizer.is_fast:
        raise DataError(
            f"The tokenizer {type(tokenizer).__name__} does not say where its tokens stand.",
            "Use a model with a tokenizer.json (a fast tokenizer).",
        )
    return Encoder(
        backend=tokenizer.backend_tokenizer.to_str(), template=template_for(tokenizer, data),
        special_tokens=special_tokens_of(tokenizer), loss_on=data.loss_on,
        plain_has_bos=adds_bos(tokenizer),
    )


@functools.lru_cache(maxsize=4)
def _byte_lengths(backend: str) -> numpy.ndarray | None:
    """A byte-level tokenizer writes each byte of a text as one character of its vocabulary."""
    decoder = json.loads(backend).get("decoder") or {}
    if decoder.get("type") != "ByteLevel":
        return None
    tokenizer = _tokenizer(backend)
    lengths = numpy.zeros(tokenizer.get_vocab_size(with_added_tokens=True) + 1, dtype=numpy.int64)
    for token, number in tokenizer.get_vocab(with_added_tokens=False).items():
        lengths[number] = len(token)
    for number, added in tokenizer.get_added_tokens_decoder().items():
        lengths[number] = len(added.content.encode())
    return lengths


@functools.lru_cache(maxsize=4)
def _tokenizer(backend: str) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(backend)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
