"""The left column of the Train tab: what will run, Start, and the settings of the training.

Draws the components; what starts a run is wired in `train.py`. Common settings stand open, rare
ones are folded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from studio.ui import markup
from studio.ui.panels import before_start, grid_box, train_method
from studio.ui.panels.grid_box import GridBox
from studio.ui.panels.train_summary import summary_view
from studio.ui.shared import Shared
from studio.ui.widgets import build_box, build_fields, keys_of

if TYPE_CHECKING:
    from studio.ui.studio import Studio

SECTIONS = (
    ("preference", "Preferences", "How the better answer is told from the other."),
    ("reinforcement", "Rewarded answers", "What is rewarded, and how the answers are drawn."),
    ("training", "Training settings", ""),
    ("speed", "Speed", "Chosen by itself, and told by the run; none of it changes what is learned "
     "beyond rounding."),
    ("monitor", "Watch the run", "None of this changes what is learned."),
)
"""Sections of the recipe as cards: name, title, what they are for."""
FOLDS = {"monitor": "More to watch", "speed": "Choose by hand"}


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
        train_method.build(studio, shared)
    for section, title, words in SECTIONS:
        # A group with an id is drawn twice; a column around it carries it.
        with gr.Column(elem_id=f"train-{section}"), gr.Group(elem_classes="card"):
            gr.HTML(markup.heading(title, words))
            _build_settings(shared, section)
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


def _build_settings(shared: Shared, section: str) -> None:
    """The common fields of a section, the rare ones folded; gone where none of them is used."""
    common = [key for key in keys_of(section, rare=False) if key != train_method.KEY]
    rare = keys_of(section, rare=True)
    shared.boxes[f"train-{section}"] = (*common, *rare)
    build_fields(shared, common)
    with (gr.Accordion(FOLDS.get(section, "More settings"), open=False,
                       elem_id=f"train-{section}-more"), gr.Column(elem_classes="stack")):
        build_box(shared, f"train-{section}-more", rare)
