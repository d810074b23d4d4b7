"""From samples to token ids and what of them carries loss: the only tokenisation in the studio.

Nothing is cut here; `Example` cuts to a maximum length, the way the trainer gets it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

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
    """One text as tokens, uncut. `loss` are (first, behind the last) numbers of learned tokens.

    `offsets` are (start, end) in `text` of each token; empty where nobody asked for them.
    """

    text: str
    ids: list[int]
    loss: list[Span]
    offsets: Sequence[Span] = field(default=(), repr=False)

    @property
    def loss_tokens(self) -> int:
        """Tokens that are learned. The first token is never predicted, so it does not count."""
        return sum(end - max(start, 1) for start, end in self.loss if end > 1)

    @property
    def first_loss(self) -> int | None:
        """The number of the first token that is learned."""
        return next((max(start, 1) for start, end in self.loss if end > max(start, 1)), None)


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
    rendered = [_render(encoder, sample) for sample in samples]
    flat = [one for item in rendered if isinstance(item, tuple) for one in item]
    encoded = iter(_encode_texts(encoder, flat, with_offsets))
    found: list[Encoded | EncodedPair | RowFault] = []
    for item in rendered:
        if isinstance(item, RowFault):
            found.append(item)
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
            batch = encoder.tokenizer.encode_batch([rendered[n].text for n in some],
                                                   add_special_tokens=special)
            for number, tokens in zip(some, batch, strict=True):
                found[number] = _encoded(rendered[number], tokens, with_offsets)
    return [one for one in found if one is not None]


def _encoded(one: _Rendered, tokens: Any, with_offsets: bool) -> Encoded:
    # What the tokenizer adds around a plain text stands nowhere in it.
    ranges = [(0, len(tokens))] if one.adds_special else _ranges(tokens, one)
    return Encoded(one.text, tokens.ids, ranges, tokens.offsets if with_offsets else ())


def _ranges(tokens: Any, one: _Rendered) -> list[Span]:
    """The tokens of each span. Asking the tokenizer for two characters costs a twentieth of
    fetching all offsets, which are needed where a character is in no token."""
    ranges = []
    for start, end in one.spans:
        if start == end:
            continue
        first, at_end = tokens.char_to_token(start), tokens.char_to_token(end)
        if end == len(one.text):
            at_end = len(tokens)
        if first is None or at_end is None:
            return token_ranges(tokens.offsets, one.spans)
        reaches_in = at_end < len(tokens) and tokens.token_to_chars(at_end)[0] < end
        ranges.append((first, at_end + reaches_in))
    return ranges


def token_ranges(offsets: Sequence[Span], spans: Iterable[Span]) -> list[Span]:
    """The tokens of which any character lies in a span, as ranges; both are in order.

    A token without characters (one that the tokenizer adds) counts as standing at its offset.
    """
    ranges = []
    for start, end in spans:
        first = bisect_left(offsets, True, key=lambda at: max(at[1], at[0] + 1) > start)
        behind = bisect_left(offsets, True, lo=first, key=lambda at: at[0] >= end)
        if behind > first:
            ranges.append((first, behind))
    return ranges
