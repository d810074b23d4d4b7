"""The column mapping form in words: parts, columns with a sample, the first record as it would be
read. Pure functions to escaped HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from studio.data import shapes
from studio.data.mapping import EXPRESSION_HELP, choices_of, parts_of
from studio.data.samples import Conversation, Judged, PlainText, Preference, PromptOnly, Turn
from studio.ui import markup

if TYPE_CHECKING:
    from studio.data.groups import Groups
    from studio.data.mapping import Part
    from studio.data.records import Row
    from studio.data.samples import Sample

MOST_PARTS = max(len(shape.roles) for shape in shapes.SHAPES)
SAMPLE_CHARACTERS = 60
TURN_CHARACTERS = 1500
SPEAKERS = {"system": "System", "user": "Person", "assistant": "Model", "tool": "Tool"}


def part_label(part: Part) -> str:
    """"Answer", or "System (if there is one)"."""
    return part.label if part.needed else f"{part.label} (if there is one)"


def column_choices(groups: Groups) -> list[tuple[str, str]]:
    """(column with a sample value, what stands for it) of everything that may play a part."""
    return [(f"{one.expression}   {_short(one.sample)}" if one.sample else one.expression,
             one.expression) for one in choices_of(groups)]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SAMPLE_CHARACTERS else f"{flat[:SAMPLE_CHARACTERS]}…"


def preview_view(row: Row, sample: Sample) -> str:
    """The first record as it stands, and as it would be taught."""
    raw = json.dumps(row, indent=2, ensure_ascii=False, default=str)[:TURN_CHARACTERS]
    return (f'<div class="mapping-preview"><pre class="record">{escape(raw)}</pre>'
            f'<div class="turns">{sample_view(sample)}</div></div>')


def sample_view(sample: Sample) -> str:
    """A sample as the conversation that it is."""
    match sample:
        case PlainText(text):
            return _turn("Text", text, taught=True)
        case Conversation(turns, _):
            return _turns(turns, taught=True)
        case Preference(prompt, chosen, rejected, _):
            return (_turns(prompt) + _part("Better answer") + _turns(chosen, taught=True)
                    + _part("Worse answer") + _turns(rejected))
        case Judged(prompt, completion, label, _):
            return (_turns(prompt) + _part("A good answer" if label else "A bad answer")
                    + _turns(completion, taught=True))
        case PromptOnly(prompt, _):
            return _turns(prompt)


def _part(words: str) -> str:
    return f'<div class="turn-part">{escape(words)}</div>'


def _turns(turns: Sequence[Turn], *, taught: bool = False) -> str:
    return "".join(
        _turn(SPEAKERS.get(turn["role"], str(turn["role"])), _content(turn),
              taught=taught and turn["role"] == "assistant") for turn in turns)


def _content(turn: Turn) -> str:
    calls = turn.get("tool_calls")
    called = "\n".join(json.dumps(call, ensure_ascii=False, default=str) for call in calls or ())
    return "\n".join(part for part in (str(turn.get("content") or ""), called) if part)


def _turn(speaker: str, text: str, *, taught: bool = False) -> str:
    more = "…" if len(text) > TURN_CHARACTERS else ""
    kind = " turn-taught" if taught else ""
    return (f'<div class="turn{kind}"><div class="turn-who">{escape(speaker)}</div>'
            f'<div class="turn-text">{escape(text[:TURN_CHARACTERS])}{more}</div></div>')


def mapping_of(format: str, values: Sequence[str | None]) -> dict[str, str]:
    """role -> column from the form's controls, in the order of the format's parts."""
    return {part.role: str(value).strip()
            for part, value in zip(parts_of(format), values, strict=False)
            if value and str(value).strip()}


def missing_view(format: str, columns: Mapping[str, str]) -> str:
    """Which needed part has no column yet; "" where all have one."""
    lacking = [part.label for part in parts_of(format) if part.needed and part.role not in columns]
    if not lacking:
        return ""
    return markup.note(f"Still to choose: {', '.join(lacking)}.", EXPRESSION_HELP)
