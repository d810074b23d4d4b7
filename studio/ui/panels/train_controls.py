"""The left column of the Train tab: what will run, Start, and the settings of the training.

Draws the components; what starts a run is wired in `train.py`. Common settings stand open, rare
ones are folded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from studio.ui import markup
from studio.ui.panels import before_start, grid_box
from studio.ui.panels.grid_box import GridBox
from studio.ui.panels.train_summary import summary_view
from studio.ui.shared import Shared
from studio.ui.widgets import build_fields, keys_of

if TYPE_CHECKING:
    from studio.ui.studio import Studio


@dataclass(frozen=True)
class Controls:
    """The components that start something. `isolated`: in a process of its own."""

    name: gr.Textbox
    isolated: gr.Checkbox
    start: gr.Button
    add: gr.Button
    grid: GridBox


def build(studio: Studio, shared: Shared) -> Controls:
    """The cards from top to bottom."""
    with gr.Group(elem_classes="card"):
        controls = _build_start(studio, shared)
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Training settings"))
        _build_settings(shared, "training", "More settings", "train-more")
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Watch the run", "None of this changes what is learned."))
        _build_settings(shared, "monitor", "More to watch", "train-monitor-more")
    return controls


def _build_start(studio: Studio, shared: Shared) -> Controls:
    gr.HTML(markup.heading("What will run", "From the settings of all tabs."))
    summary = gr.HTML(summary_view(None), elem_id="train-summary", padding=False)
    shared.add_readout(summary, summary_view)
    before_start.build(studio, shared)
    name = gr.Textbox(label="Run name", max_lines=1, elem_id="train-name",
                      placeholder="Empty: the method, the date, and the time")
    with gr.Row():
        start = gr.Button("Start", variant="primary", min_width=90, elem_id="train-start")
        add = gr.Button("Add to queue", min_width=90, elem_id="train-add")
    grid = grid_box.build(studio, shared, name)
    with gr.Accordion("How it runs", open=False, elem_id="train-how"):
        isolated = gr.Checkbox(
            label="In a process of its own", elem_id="train-isolated", elem_classes="field",
            info="A crash, or a lack of memory, then ends this run and not the studio. Takes some "
                 "seconds longer to begin.")
    return Controls(name, isolated, start, add, grid)


def _build_settings(shared: Shared, section: str, more: str, more_id: str) -> None:
    build_fields(shared, keys_of(section, rare=False))
    with gr.Accordion(more, open=False, elem_id=more_id), gr.Column(elem_classes="stack"):
        build_fields(shared, keys_of(section, rare=True))
