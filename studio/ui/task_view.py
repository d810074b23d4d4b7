"""A piece of background work as every tab shows it: under way, done, stopped, or failed. Pure.

What it made when it is done is for the tab to say.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from studio.ui import markup
from studio.ui.tasks import TaskView


def work_view(task: TaskView, done: Callable[[TaskView], str]) -> str:
    """The work under way, or how the last one ended; `done` says as HTML what it made."""
    if task.state == "idle":
        return ""
    if task.is_active:
        return at_work_view(task)
    if task.state == "done":
        body = done(task)
    elif task.state == "stopped":
        body = markup.note(f"{task.title}: stopped.", "Nothing half-written was left.", "info")
    else:
        body = failed_view(task)
    return f'<div class="task" data-state="{task.state}">{body}</div>'


def at_work_view(task: TaskView, button: str = "") -> str:
    """What is under way, and how far. `button` is HTML beside its name."""
    word = "Stopping" if task.state == "stopping" else task.title
    title = f'<div class="task-title">{escape(word)}</div>'
    head = f'<div class="task-head">{title}{button}</div>' if button else title
    return f'<div class="task" data-state="{task.state}">{head}{markup.step_bar(task.step)}</div>'


def failed_view(task: TaskView) -> str:
    """Why it failed, and what to do."""
    message, hint = task.error or ("It failed.", "")
    return markup.note(f"{task.title}: {message}", hint, "problem")
