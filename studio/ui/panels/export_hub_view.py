"""What the Hub part of the Export tab shows: what would be sent, and how the upload ends. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.ui import markup
from studio.ui.task_view import work_view
from studio.ui.tasks import TaskView

if TYPE_CHECKING:
    from studio.export.hub import PushPlan


def dry_run_view(plan: PushPlan) -> str:
    """Where to, who will see it, every file with its size. Nothing was sent so far."""
    place, *more = plan.sentences
    level = "info" if plan.private else "warning"
    rows = "".join(f'<tr><td class="plan-name">{escape(file.name)}</td>'
                   f'<td class="right">{readable_bytes(file.bytes)}</td></tr>'
                   for file in plan.files)
    sentences = "".join(f'<p class="quiet">{escape(text)}</p>' for text in more)
    return (f'{markup.note(place, "Nothing has been sent yet.", level)}{sentences}'
            f'<table class="plain export-plan"><tbody>{rows}</tbody></table>')


def pushing_view(task: TaskView) -> str:
    """The upload under way, or how the last one ended."""
    return work_view(task, _pushed)


def _pushed(task: TaskView) -> str:
    found = task.result
    return markup.note(
        f"{task.title}: done in {markup.readable_seconds(found.seconds)}.",
        f"{readable_bytes(found.bytes)} are at {found.url}, commit {found.commit[:12]}.", "good")
