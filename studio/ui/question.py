"""The question before something is deleted for good: a row with two buttons, hidden until asked.

Layout only. Who asks, about what, and what deleting means is the panel's business.
"""

from __future__ import annotations

from typing import NamedTuple

import gradio as gr


class Question(NamedTuple):
    """The row, the sentence in it, and its two answers."""

    row: gr.Row
    text: gr.HTML
    keep: gr.Button
    delete: gr.Button


def build_question(delete_id: str) -> Question:
    """Lay it out; `delete_id` is the element id of the button that deletes."""
    with gr.Row(visible=False, elem_classes="run-confirm") as row:
        text = gr.HTML(padding=False)
        keep = gr.Button("Keep it", size="sm", scale=0, min_width=100)
        delete = gr.Button("Delete it for good", variant="stop", size="sm", scale=0,
                           min_width=150, elem_id=delete_id)
    return Question(row, text, keep, delete)
