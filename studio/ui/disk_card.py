"""The disk space that the recipe will take, from the download to a GGUF: a card that follows it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from studio.files import readable_bytes
from studio.ui import markup
from studio.ui.reading import Reading
from studio.ui.shared import Shared

if TYPE_CHECKING:
    from studio.hardware.disk import DiskPart

LEVELS = {"ok": "good", "warning": "warning", "problem": "problem"}


def build(shared: Shared) -> None:
    """Lay the card out; it moves with every setting of the recipe."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Disk space it will take", "Everything that the recipe writes, from "
                               "the download to a GGUF."))
        card = gr.HTML(disk_card(Reading()), elem_id="disk-needs", padding=False)
    shared.add_readout(card, disk_card)


def disk_card(reading: Reading) -> str:
    """A sentence for each drive, and a line for each part with where its size comes from."""
    if reading.problem is not None:
        return markup.note(reading.problem.message, reading.problem.hint, "warning")
    if reading.disk is None:
        return markup.empty("Working out the disk space", "The first time takes a few seconds.")
    from studio.hardware.doctor import disk_findings

    notes = "".join(markup.note(found.what, found.hint, LEVELS[found.level])
                    for found in disk_findings(reading.disk))
    rows = "".join(_row(part) for part in reading.disk.parts)
    return f'<div class="disk">{notes}<div class="memory-legend">{rows}</div></div>'


def _row(part: DiskPart) -> str:
    words = escape(f"{part.formula}. In {part.folder}")
    none = "" if part.bytes else " memory-none"
    return (f'<div class="memory-row disk-row{none}" title="{words}">'
            f'<span class="memory-name">{escape(part.name[0].upper() + part.name[1:])}</span>'
            f'<span class="memory-formula">{escape(part.formula)}</span>'
            f'<span class="memory-bytes">{readable_bytes(part.bytes)}</span></div>')
