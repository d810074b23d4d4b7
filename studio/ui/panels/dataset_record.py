"""One record raw, as text, and as tokens; and the row it is packed into, where packing is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels import dataset_record_view as record_view
from studio.ui.panels.dataset_findings_view import ACT_SCRIPT
from studio.ui.panels.dataset_page import DataPage, record_updates
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio


def build(studio: Studio, shared: Shared, page: DataPage) -> None:
    """The number with its buttons, then the three views side by side."""
    with gr.Group(elem_classes="card", elem_id="dataset-record"):
        with gr.Row(elem_classes="record-nav"):
            gr.HTML(markup.heading("One record, as the model sees it",
                                   "Exactly what training gets. Coloured tokens are learned, the "
                                   "rest is only read."))
            previous = gr.Button("Previous", size="sm", scale=0, min_width=90,
                                 elem_id="dataset-previous")
            number = gr.Number(1, label="Record number", show_label=False, precision=0, scale=0,
                               min_width=90, elem_id="dataset-record-number", container=False)
            following = gr.Button("Next", size="sm", scale=0, min_width=90, elem_id="dataset-next")
        with gr.Row(elem_classes="record-row"):
            with gr.Column(scale=3, min_width=280):
                raw = gr.HTML(record_view.raw_view(None), elem_id="dataset-raw", padding=False)
            with gr.Column(scale=7, min_width=440):
                rendered = gr.HTML(record_view.nothing_view(), elem_id="dataset-rendered",
                                   padding=False)
        packed = gr.HTML(elem_id="dataset-packed", padding=False, js_on_load=ACT_SCRIPT)
    page.number, page.record = number, (raw, rendered, packed)
    _wire(studio, page, {previous: -1, following: 1})
    wire_jump(studio, page, packed)


def _wire(studio: Studio, page: DataPage, turns: dict[gr.Button, int]) -> None:
    number: Any = page.number
    outputs = [number, *page.record]

    def turned(step: int) -> Any:
        @guarded
        def turn(key: str, number: float | None) -> list[Any]:
            return record_updates(studio.data, key, (number or 1) + step)
        return turn

    gr.on([number.submit, number.blur], turned(0), [page.following, number], outputs, **QUIET)
    for button, step in turns.items():
        button.click(turned(step), [page.following, number], outputs, **QUIET)


def wire_jump(studio: Studio, page: DataPage, listed: gr.HTML) -> None:
    """A press on a sample in `listed` shows its record."""
    @guarded
    def jump(event: gr.EventData, key: str) -> list[Any]:
        return record_updates(studio.data, key, int(event.row))

    listed.select(jump, page.following, [page.number, *page.record], **QUIET)
