"""One record three ways: as it stands in the file, as text, as tokens. Pure functions to HTML.

What is drawn is an `Example`, the same that the trainer gets; nothing is tokenised here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from studio.data.encode import NO_LOSS
from studio.ui import markup

if TYPE_CHECKING:
    from studio.data.example import Example
    from studio.data.lab.record import Record

RAW_CHARACTERS = 20_000
TOKENS_DRAWN = 2_000
CUT_CHARACTERS = 4_000
"""More of a record makes the page slow and tells nothing new."""
VISIBLE = str.maketrans({"\n": "↵\n", "\t": "→\t"})
VISIBLE_IN_TOKEN = str.maketrans({"\n": "↵", "\t": "→", " ": "·", "\r": "␍"})


class Piece(NamedTuple):
    """One token: its text ("" while a character of several tokens is not complete), its id."""

    text: str
    token_id: int
    learned: bool
    special: bool


def pieces_of(example: Example, special: frozenset[str]) -> list[Piece]:
    """The tokens of `example` in order; joined their texts are what the model sees."""
    pairs = zip(example.pieces, example.input_ids, strict=True)
    return [Piece(text, token, learned, text in special)
            for (text, learned), token in pairs]


def raw_view(row: dict[str, Any] | None, place: str = "") -> str:
    """The record as it stands in the file."""
    if row is None:
        return markup.empty("No record", "Nothing in the source can be read.")
    text = json.dumps(row, indent=2, ensure_ascii=False, default=str)
    more = len(text) - RAW_CHARACTERS
    rest = (f'<div class="quiet">and {more:,} more characters that are not drawn</div>'
            if more > 0 else "")
    return (f'<div class="record-part">{_title("As it stands", place)}'
            f'<pre class="record" data-place="{escape(place)}">{escape(text[:RAW_CHARACTERS])}'
            f"</pre>{rest}</div>")


def place_words(record: Record) -> str:
    """"line 3, 3 of 720"; the total once it is known."""
    return record.place + (f", {record.number:,} of {record.total:,}" if record.total else "")


def record_view(record: Record) -> str:
    """Text and tokens of a record, or why there are none."""
    if record.fault is not None:
        return fault_view(f"This record {record.fault.message}", record.fault.hint)
    if not record.examples:
        return nothing_view()
    return rendered_view(record.examples, record.special_tokens)


def fault_view(message: str, hint: str) -> str:
    """Why this record teaches nothing."""
    return markup.note(message, hint, "warning")


def nothing_view() -> str:
    """What is needed before a record can be rendered."""
    return markup.empty(
        "Not rendered", "This needs a recognised format, and the base model on this PC: get it on "
        "the Hardware tab.")


def waiting_view() -> str:
    """While the tokenizer is loaded."""
    return markup.empty("Loading the tokenizer", "The first time takes a few seconds.")


def rendered_view(examples: Sequence[tuple[str, Example]], special: frozenset[str]) -> str:
    """Text and tokens side by side, for each of (title, example): one, or chosen and rejected."""
    return "".join(_example_view(title, example, special) for title, example in examples)


def _example_view(title: str, example: Example, special: frozenset[str]) -> str:
    pieces = pieces_of(example, special)
    name = "" if title == "example" else f", {title}"
    return (
        f'<div class="example" data-example="{escape(title)}">'
        f'<div class="record-part">{_title(f"As text{name}", "what the model reads")}'
        f'<pre class="rendered">{_text(pieces[:TOKENS_DRAWN])}{_cut(example)}</pre></div>'
        f'<div class="record-part">{_title(f"As tokens{name}", "point at one to see its number")}'
        f'<pre class="tokens">{_tokens(pieces[:TOKENS_DRAWN])}'
        f"{_cut_mark(example)}</pre></div>{_counts(example, pieces)}</div>"
    )


def _title(text: str, quiet: str) -> str:
    more = f' <span class="quiet">{escape(quiet)}</span>' if quiet else ""
    return f"<h4>{escape(text)}{more}</h4>"


def _text(pieces: list[Piece]) -> str:
    """Neighbours of one kind share a span, so that a sentence stays a sentence."""
    shown = []
    for (learned, special), group in itertools.groupby(
            pieces, key=lambda piece: (piece.learned, piece.special)):
        text = escape("".join(piece.text for piece in group)).translate(VISIBLE)
        kinds = " ".join(_kinds(learned, special))
        shown.append(f'<span class="{kinds}">{text}</span>' if kinds else text)
    return "".join(shown)


def _tokens(pieces: list[Piece]) -> str:
    """A box for each token. A character of several tokens stands in the last of them."""
    return "".join(
        f'<span class="{" ".join(["token", *_kinds(piece.learned, piece.special)])}" '
        f'title="{_about(number, piece)}">{_token_text(piece)}</span>'
        + ("\n" if piece.text.endswith("\n") else "")
        for number, piece in enumerate(pieces, 1))


def _about(number: int, piece: Piece) -> str:
    part = "" if piece.text else ", a part of the next character"
    return f"token {number}, id {piece.token_id}{', learned' if piece.learned else ''}{part}"


def _token_text(piece: Piece) -> str:
    return escape(piece.text.translate(VISIBLE_IN_TOKEN)) if piece.text else "…"


def _kinds(learned: bool, special: bool) -> Iterator[str]:
    if learned:
        yield "token-learned"
    if special:
        yield "token-special"


def _cut(example: Example) -> str:
    if not example.truncated:
        return ""
    text = example.cut_text
    more = "…" if len(text) > CUT_CHARACTERS else ""
    return (f'{_cut_mark(example)}<span class="token-cut" title="Behind the maximum length: never '
            f'seen">{escape(text[:CUT_CHARACTERS]).translate(VISIBLE)}{more}</span>')


def _cut_mark(example: Example) -> str:
    if not example.truncated:
        return ""
    return (f'<span class="cut-line" role="separator">cut here, {example.cut_tokens:,} tokens '
            "are never seen</span>")


def _counts(example: Example, pieces: list[Piece]) -> str:
    """What the colours mean, with the counts beside them."""
    kept, cut = len(example.input_ids), example.cut_tokens
    special = sum(piece.special for piece in pieces)
    learned = sum(label != NO_LOSS for label in example.labels[1:])
    parts = [
        f'<span data-key="tokens"><b>{kept:,}</b> tokens</span>',
        f'<span data-key="learned"><b class="token-learned">{learned:,} learned</b></span>',
        f'<span data-key="special"><b class="token-special">{special:,} control</b></span>',
    ]
    if cut:
        parts.append(f'<span data-key="cut"><b class="token-cut">{cut:,} cut off</b></span>')
    if len(pieces) > TOKENS_DRAWN:
        parts.append(f"<span>the first {TOKENS_DRAWN:,} are drawn</span>")
    return f'<div class="key">{"".join(parts)}</div>'


def not_packed_view() -> str:
    """For a record that no row holds."""
    return ('<div class="packed-rows"><div class="quiet">This record is in no packed row: it is '
            "held out, or nothing of it can be learned.</div></div>")


def packed_view(rows: Sequence[Sequence[tuple[int, int]]], max_length: int, at: int) -> str:
    """Packed rows as the trainer gets them: each is a list of (record number, tokens).

    The record `at` is marked; a press on another shows that one.
    """
    bars = "".join(
        '<div class="packed-row">' + "".join(
            f'<button type="button" class="packed{" packed-here" if number == at else ""}" '
            f'data-row="{number}" style="width:{100 * tokens / max(max_length, 1):.2f}%" '
            f'title="record {number:,}: {tokens:,} tokens">{number:,}</button>'
            for number, tokens in row)
        + "</div>" for row in rows)
    used = sum(tokens for row in rows for _, tokens in row)
    share = 100 * used / max(max_length * len(rows), 1)
    title = _title("As packed", "the examples that share its row, by record number")
    return (f'<div class="packed-rows">{title}{bars}<div class="quiet">{share:.0f} % of '
            f"{'this row' if len(rows) == 1 else 'these rows'} is filled; none of the examples in "
            "it sees another.</div></div>")
