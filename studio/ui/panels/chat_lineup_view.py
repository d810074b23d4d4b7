"""What the line-up of the Chat tab says of its columns: how they answer, and what to know. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from studio.ui.panels.chat_sliders import SliderRow
from studio.ui.words import joined


@dataclass(frozen=True)
class ColumnFacts:
    """What is known of a column before anything is loaded.

    `why_no_strength` and `why_alone` are ends of sentences, empty where it has a strength and
    where it shares a batch. The base has neither.
    """

    value: str
    name: str
    is_base: bool = False
    why_no_strength: str = ""
    why_alone: str = ""


def strength_rows(columns: Sequence[ColumnFacts]) -> list[SliderRow]:
    """A slider for each adapter."""
    return [SliderRow(one.value, one.name, one.why_no_strength) for one in columns
            if not one.is_base]


def status_view(columns: Sequence[ColumnFacts], notes: Sequence[str] = ()) -> str:
    """Whether the columns answer together or in turn and why, and what to know of them."""
    sentences = [how_they_answer(columns), *notes] if columns else []
    return "".join(f'<p class="quiet">{escape(sentence)}</p>' for sentence in sentences)


def how_they_answer(columns: Sequence[ColumnFacts]) -> str:
    """One sentence: in one batch, or who follows in turn and why."""
    alone = [one for one in columns if one.why_alone]
    together = [one.name for one in columns if not one.why_alone]
    if len(columns) == 1:
        return f"Only {columns[0].name} answers."
    if not alone:
        who = "Both" if len(columns) == 2 else f"All {len(columns)}"
        return f"{who} answer at the same time, in one batch."
    if len({one.why_alone for one in alone}) == 1:
        reason = alone[0].why_alone
    else:
        reason = "; ".join(f"{one.name}: {one.why_alone}" for one in alone)
    if len(together) < 2:
        return f"They answer one after another, not in one batch ({reason})."
    follow = f"{alone[0].name} follows" if len(alone) == 1 else "The others follow one by one"
    return f"{joined(together)} answer at the same time, in one batch. {follow} ({reason})."
