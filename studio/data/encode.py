"""From samples to token ids and what of them carries loss: the only tokenisation in the studio.

Nothing is cut here; `Example` cuts to a maximum length, the way the trainer gets it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from studio.data.answer_spans import Span, answer_spans, answers_of
from studio.data.encoder import Encoder
from studio.data.samples import (
    Conversation,
    Judged,
    PlainText,
    Preference,
    PromptOnly,
    RowFault,
    Sample,
    Turn,
)
from studio.data.templates.rendering import render_turns

NO_LOSS = -100
"""The label that PyTorch's cross entropy and TRL's collator pass over."""

_TEXTS_AT_ONCE = 64
"""The tokenizer holds a hundred bytes and more a token until a batch is taken apart."""


@dataclass(frozen=True)
class Encoded:
    """One text as tokens, uncut: `ids` is int32, `loss` are (first, behind the last) numbers of
    learned tokens.

    Of a prompt without an answer `loss` is one empty range behind the last token: there the
    answer would begin. `offsets` are (start, end) in `text` of each token; empty where nobody asked
    for them.
    """

    text: str
    ids: numpy.ndarray
    loss: list[Span]
    offsets: Sequence[Span] = field(default=(), repr=False)

    @property
    def loss_tokens(self) -> int:
        """Tokens that are learned. The first token is never predicted, so it does not count."""
        return sum(end - max(start, 1) for start, end in self.loss if end > 1)

    @property
    def first_loss(self) -> int | None:
        """The number of the first token that is learned, or that an answer would begin with."""
        return next((max(start, 1) for start, end in self.loss
                     if end > max(start, 1) or start == end > 0), None)


@dataclass(frozen=True)
class EncodedPair:
    """A preference as two encoded texts, each the prompt with one answer; loss on the answer."""

    chosen: Encoded
    rejected: Encoded


@dataclass(frozen=True)
class _Rendered:
    """Text, spans of characters that are learned, and whether the tokenizer adds special tokens."""

    text: str
    spans: list[Span]
    adds_special: bool = False


def encode(
    encoder: Encoder, samples: Iterable[Sample | RowFault], *, with_offsets: bool = False
) -> list[Encoded | EncodedPair | RowFault]:
    """Every sample in order as tokens, or the fault why not; faults given are handed on."""
    samples = list(samples)
    rendered = [_render(encoder, sample) for sample in samples]
    flat = [one for item in rendered if isinstance(item, tuple) for one in item]
    encoded = iter(_encode_texts(encoder, flat, with_offsets))
    found: list[Encoded | EncodedPair | RowFault] = []
    for sample, item in zip(samples, rendered, strict=True):
        if isinstance(item, RowFault):
            found.append(item)
        elif isinstance(sample, PromptOnly):
            one = next(encoded)
            found.append(replace(one, loss=[(len(one.ids), len(one.ids))]))
        elif len(item) == 1:
            found.append(next(encoded))
        else:
            found.append(EncodedPair(next(encoded), next(encoded)))
    return found


def _render(encoder: Encoder, sample: Sample | RowFault) -> tuple[_Rendered, ...] | RowFault:
    if isinstance(sample, RowFault):
        return sample
    try:
        return _rendered_texts(encoder, sample)
    except RowFault as fault:
        return fault


def _rendered_texts(encoder: Encoder, sample: Sample) -> tuple[_Rendered, ...]:
    match sample:
        case PlainText(text):
            return (_plain(encoder, text),)
        case Conversation(turns, tools):
            return (_turns(encoder, [], turns, tools),)
        case Judged(prompt, completion, _, tools):
            return (_turns(encoder, prompt, completion, tools),)
        case Preference(prompt, chosen, rejected, tools):
            return (_turns(encoder, prompt, chosen, tools),
                    _turns(encoder, prompt, rejected, tools))
        case PromptOnly(prompt, tools):
            text = render_turns(encoder.template, encoder.special_tokens, prompt, tools=tools,
                                answer_next=True)
            return (_Rendered(text, []),)


def _plain(encoder: Encoder, text: str) -> _Rendered:
    """Every token is learned, and the end token so that the model can stop."""
    if not text.endswith(encoder.eos):
        text += encoder.eos
    has_bos = bool(encoder.bos) and text.startswith(encoder.bos)
    return _Rendered(text, [(0, len(text))], adds_special=not has_bos)


def _turns(
    encoder: Encoder, prompt: list[Turn], answered: list[Turn], tools: list[Any] | None
) -> _Rendered:
    """Prompt and answer as one text; loss only on the assistant's turns behind the prompt.

    The template writes the begin-of-text token itself where the model wants one.
    """
    turns = [*prompt, *answered]

    def render(some: list[Turn], *, answer_next: bool = False) -> str:
        return render_turns(encoder.template, encoder.special_tokens, some, tools=tools,
                            answer_next=answer_next)

    text = render(turns)
    if encoder.loss_on == "all" and not prompt:
        return _Rendered(text, [(0, len(text))])
    chosen = [number for number in answers_of(turns, encoder.loss_on) if number >= len(prompt)]
    return _Rendered(text, answer_spans(turns, chosen, text, render))


def _encode_texts(
    encoder: Encoder, rendered: list[_Rendered], with_offsets: bool
) -> list[Encoded]:
    found: list[Encoded | None] = [None] * len(rendered)
    for special in (False, True):
        numbers = [n for n, one in enumerate(rendered) if one.adds_special == special]
        for at in range(0, len(numbers), _TEXTS_AT_ONCE):
            some = numbers[at:at + _TEXTS_AT_ONCE]
            texts = [rendered[n] for n in some]
            for number, one in zip(some, _encode_some(encoder, texts, with_offsets), strict=True):
                found[number] = one
    return [one for one in found if one is not None]


def _encode_some(
    encoder: Encoder, texts: list[_Rendered], with_offsets: bool
) -> Iterator[Encoded]:
    """A few texts of one kind. Where nobody wants offsets they are worked out from the lengths of
    the tokens, which is a fifth quicker than having the tokenizer keep them."""
    special, lengths = texts[0].adds_special, encoder.byte_lengths
    plain = [one.text for one in texts]
    if with_offsets or lengths is None or special:
        batch = encoder.tokenizer.encode_batch(plain, add_special_tokens=special)
        for one, tokens in zip(texts, batch, strict=True):
            yield _with_offsets(one, tokens, with_offsets)
        return
    quick = encoder.tokenizer.encode_batch_fast(plain, add_special_tokens=False)
    for one, tokens in zip(texts, quick, strict=True):
        ids = numpy.array(tokens.ids, dtype=numpy.int32)
        ranges = ranges_by_length(one.text, one.spans, numpy.cumsum(lengths[ids]))
        if ranges is None:
            whole = encoder.tokenizer.encode(one.text, add_special_tokens=False)
            yield _with_offsets(one, whole, False)
        else:
            yield Encoded(one.text, ids, ranges)


def _with_offsets(one: _Rendered, tokens: Any, with_offsets: bool) -> Encoded:
    offsets = tokens.offsets
    # What the tokenizer adds around a plain text stands nowhere in it.
    ranges = [(0, len(offsets))] if one.adds_special else token_ranges(offsets, one.spans)
    return Encoded(one.text, numpy.array(tokens.ids, dtype=numpy.int32), ranges,
                   offsets if with_offsets else ())


def ranges_by_length(
    text: str, spans: Iterable[Span], ends: numpy.ndarray
) -> list[Span] | None:
    """The tokens of each span, where token i ends at byte `ends[i]` of the text; None where the
    tokens do not add up to the text, since the tokenizer changed it."""
    if (int(ends[-1]) if len(ends) else 0) != len(text.encode()):
        return None
    ranges = []
    at_character = at_byte = 0
    for start, end in spans:
        first_byte = at_byte + len(text[at_character:start].encode())
        at_character, at_byte = end, first_byte + len(text[start:end].encode())
        first = int(numpy.searchsorted(ends, first_byte, side="right"))
        behind = int(numpy.searchsorted(ends, at_byte, side="left")) + 1
        if at_byte > first_byte:
            ranges.append((first, behind))
    return ranges


def token_ranges(offsets: Sequence[Span], spans: Iterable[Span]) -> list[Span]:
    """The tokens of which any character lies in a span, as ranges; both are in order.

    A token without characters (one that the tokenizer adds) counts as standing at its offset.
    """
    ranges = []
    for start, end in spans:
        if start == end:
            continue
        first = bisect_left(offsets, True, key=lambda at: max(at[1], at[0] + 1) > start)
        behind = bisect_left(offsets, True, lo=first, key=lambda at: at[0] >= end)
        if behind > first:
            ranges.append((first, behind))
    return ranges
