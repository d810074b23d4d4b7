"""The two buttons of a piece of background work, as parts of a page: begin it, and stop it."""

from __future__ import annotations

import gradio as gr

from studio.ui.seen import Part
from studio.ui.tasks import TaskView


def start_part(task: TaskView) -> Part:
    """The button that begins it, which can be pressed while nothing is under way."""
    return task.is_active, lambda: gr.Button(interactive=not task.is_active)


def stop_part(task: TaskView) -> Part:
    """The button that stops it, there while it is under way, and to be pressed once."""
    return task.state, lambda: gr.Button(visible=task.is_active,
                                         interactive=task.state == "running")
