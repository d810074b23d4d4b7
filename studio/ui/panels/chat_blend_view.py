"""What the Blend part of the Chat tab shows: ways to mix, what would come out, what was made. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.ui import markup
from studio.ui.panels.chat_columns import base_label
from studio.ui.presses import press_script
from studio.ui.task_view import work_view
from studio.ui.tasks import TaskView

if TYPE_CHECKING:
    from studio.adapters.blend import BlendPlan

WEIGHTS_WORDS = ("How much of each: 1 takes it as it was trained, 0.5 half of it, and below 0 "
                 "takes away what it learned.")
LIST_SCRIPT = press_script("what")
"""Runs in the browser: a button of a row says what shall become of which blend."""


@dataclass(frozen=True)
class BlendRow:
    """A blend as the list shows it; `base` is the source of its base."""

    name: str
    words: str
    rank: int
    size_bytes: int
    base: str


def nothing_chosen_view(offered: int) -> str:
    """What stands there while too few adapters are chosen."""
    if offered < 2:
        return markup.empty("There are fewer than two LoRA adapters of this base", "Train another "
                            "one on it, or choose another base above.")
    return markup.empty("Choose two adapters or more", "What would come of them is told here "
                        "before anything is written.")


def plan_view(found: BlendPlan, adapters: int) -> str:
    """What would come out."""
    layers = len(found.ranks)
    parts = [f'<p class="quiet"><b>{escape(found.words)}</b> becomes one LoRA adapter of rank '
             f"{found.rank} on {layers:,} layers, {readable_bytes(found.bytes)}.</p>"]
    if adapters == 1:
        parts.append(markup.note("Only one adapter is chosen: the blend is the same adapter at "
                                 "another strength."))
    parts += [markup.note(text) for text in found.notes]
    return "".join(parts)


def task_view(task: TaskView) -> str:
    """The blend under way, or how the last one ended."""
    return work_view(task, _made_view)


def _made_view(task: TaskView) -> str:
    seconds = markup.readable_seconds(task.elapsed_seconds)
    return markup.note(f"{task.result.name} is made, in {seconds}.", "It can be chosen above under "
                       "Who answers, like a run: press Let it answer below.", "good")


def list_view(rows: Sequence[BlendRow], base: str) -> str:
    """Every blend, newest first; only those of `base` can be added to the line-up."""
    if not rows:
        return markup.empty("No blend yet", "Mix two adapters above; the result stands here.")
    return f'<ul class="queue blends">{"".join(_row(row, base) for row in rows)}</ul>'


def _row(row: BlendRow, base: str) -> str:
    name = escape(row.name)
    words = [row.words, f"rank {row.rank}", readable_bytes(row.size_bytes)]
    if row.base != base:
        words.append(f"of {base_label(row.base)}")
    add = "" if row.base != base else (
        f'<button type="button" class="link" data-what="add" data-name="{name}">Let it answer'
        "</button>")
    return (f'<li data-name="{name}"><span class="queue-name">{name}</span>'
            f'<span class="quiet">{escape(", ".join(words))}</span><span class="queue-buttons">'
            f'{add}{markup.sign_button("delete", row.name, "Delete", "✕")}</span></li>')


def question_view(name: str) -> str:
    """What deleting takes away."""
    return markup.note(f"Delete the blend {name}? What it was made of stays.", level="warning")
