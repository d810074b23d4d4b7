"""The Chat tab: who answers above, how they write, and below the parts that ask them.

Layout only; each part is a panel of its own (`chat_lineup.py`, `chat_sampling.py`, and `PARTS`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from studio.ui.guard import guarded
from studio.ui.panels import (
    chat_blend,
    chat_lineup,
    chat_sampling,
    chat_serve,
    chat_talk,
    chat_votes,
)
from studio.ui.shared import PRIVATE, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio

PARTS = (
    ("talk", "Talk", chat_talk), ("votes", "Blind test", chat_votes),
    ("blend", "Blend", chat_blend), ("serve", "Serve", chat_serve),
)
"""(id, title, module) in the order of the page."""


def build(studio: Studio, shared: Shared) -> None:
    """Lay out the tab and wire it."""
    lineup = chat_lineup.build(studio, shared)
    with (gr.Group(elem_classes="card"),
          gr.Accordion("System prompt and sampling", open=False, elem_id="chat-more"),
          gr.Column(elem_classes="stack")):
        sampling = chat_sampling.build()
        chat_sampling.keep(sampling, shared)
        free = gr.Button("Unload the model", size="sm", elem_id="chat-unload")
    with gr.Tabs(selected="talk", elem_id="chat-parts"):
        for name, title, part in PARTS:
            with gr.Tab(title, id=name, elem_id=f"chat-part-{name}"):
                part.build(studio, shared, lineup, sampling)

    def unload() -> None:
        studio.chat.close()
        gr.Info("The model is unloaded. The next prompt loads it again.")

    free.click(guarded(unload), None, None, **PRIVATE)
