"""The memory a recipe needs, as one stacked bar against what is free. Pure HTML, no plot library.

HTML rather than a chart: it follows a slider without being built anew, and every part tells its
formula on hover, on a tap, and to whoever comes by keyboard.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.hardware.free_now import level
from studio.hardware.part_words import words as part_words
from studio.recipe.method_words import method_words
from studio.ui import markup

if TYPE_CHECKING:
    from studio.hardware.memory import Estimate, PartBytes
    from studio.ui.reading import Reading

ROOM = 1.04
"""The scale ends a little behind the larger of need and free memory."""


def memory_card(reading: Reading) -> str:
    """Verdict, bar, and a line per part."""
    if reading.problem is not None:
        return markup.note(reading.problem.message, reading.problem.hint, "warning")
    if reading.planned is None or reading.place is None:
        return markup.empty("Working out the memory", "The first time takes a few seconds.")
    from studio.hardware.memory import verdict

    estimate, free, place = reading.planned, reading.place.free_bytes, reading.place
    free_text = (f'<span title="{escape(place.note)}">{readable_bytes(free)} '
                 f"{escape(place.of_what)} free</span>")
    return (
        f'<div class="memory" data-total-bytes="{estimate.total_bytes}">'
        f'<div class="memory-head"><span class="memory-total">'
        f"{readable_bytes(estimate.total_bytes)}</span><span class='quiet'>needed, "
        f"between {readable_bytes(estimate.low_bytes)} and {readable_bytes(estimate.high_bytes)}"
        f" · {free_text}</span></div>"
        f"{_bar(estimate, free)}{markup.note(verdict(estimate, free), level=level(estimate, free))}"
        f"{_of_method(reading)}{legend(estimate.parts)}</div>"
    )


def _of_method(reading: Reading) -> str:
    """What a step of the method computes beside the usual; nothing where that is nothing."""
    words = method_words(reading.recipe.training.method) if reading.recipe else None
    if words is None or not words.memory:
        return ""
    return f'<p class="quiet memory-method">{escape(words.short)}: {escape(words.memory)}</p>'


def before_and_after(before: Estimate, after: Estimate, free_bytes: int) -> str:
    """Two bars on one scale, so that what was saved is seen."""
    scale = max(before.high_bytes, after.high_bytes, free_bytes, 1) * ROOM
    return '<div class="memory-pair">' + "".join(
        f'<span class="quiet">{name}</span>{_bar(estimate, free_bytes, scale)}'
        f"<b>{readable_bytes(estimate.total_bytes)}</b>"
        for name, estimate in (("Before", before), ("After", after))
    ) + "</div>"


def _bar(estimate: Estimate, free_bytes: int, scale: float = 0) -> str:
    scale = scale or max(estimate.high_bytes, estimate.total_bytes, free_bytes, 1) * ROOM
    segments = "".join(
        f'<div class="memory-part part-{escape(part.name)}" title="{_title(part)}" '
        f'style="width:{100 * part.bytes / scale:.3f}%"></div>' for part in estimate.parts
    )
    at = 100 * free_bytes / scale
    side = "memory-free-left" if at > 80 else ""
    return (
        f'<div class="memory-bar" role="img" aria-label="Memory needed, by part">{segments}'
        f'<div class="memory-free {side}" style="left:{at:.3f}%"><span>free</span></div></div>'
    )


def legend(parts: Iterable[PartBytes], job: str = "train") -> str:
    """A line per part: its name in plain words, its formula, its size."""
    return f'<div class="memory-legend">{"".join(_row(part, job) for part in parts)}</div>'


def _row(part: PartBytes, job: str) -> str:
    none = "" if part.bytes else " memory-none"
    return (
        f'<div class="memory-row{none}" tabindex="0" title="{_title(part, job)}">'
        f'<span class="swatch part-{escape(part.name)}"></span>'
        f'<span class="memory-name">{escape(part_words(part.name, job))}</span>'
        f'<span class="memory-formula">{escape(part.formula)}</span>'
        f'<span class="memory-bytes">{readable_bytes(part.bytes)}</span></div>'
    )


def _title(part: PartBytes, job: str = "train") -> str:
    return escape(f"{part_words(part.name, job)}: {readable_bytes(part.bytes)}. {part.formula}")
