"""One record raw, as text, and as tokens; and the row it is packed into, where packing is on."""

from __future__ import annotations

import functools
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
    shared.when_complete(lambda: _wire(studio, page, {previous: -1, following: 1}))
    wire_jump(page, packed)


def _wire(studio: Studio, page: DataPage, turns: dict[gr.Button, int]) -> None:
    number: Any = page.number

    @guarded
    def show(key: str, number: float | None) -> list[Any]:
        return record_updates(studio.data, key, number)

    # One handler for all: whatever asked last, the number that stands there is what is shown.
    gr.on([number.change, page.record_signal.change], show, [page.following, number],
          [number, *page.record], trigger_mode="always_last", **QUIET)
    for button, step in turns.items():
        button.click(functools.partial(turned, step), number, number, **QUIET)


def turned(step: int, number: float | None) -> float:
    """The record before or after; never before the first."""
    return max(1, (number or 1) + step)


def wire_jump(page: DataPage, listed: gr.HTML) -> None:
    """A press on a sample in `listed` shows its record."""
    listed.select(jump, None, page.number, **QUIET)


def jump(event: gr.EventData) -> int:
    """The number of the record that was pressed."""
    return int(event.row)
