"""What the Queue sub-tab shows: the runs that wait, the one at work, those that ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from studio.ui.markup import bar, empty, note, sign_button
from studio.ui.panels.train_view import state_word
from studio.ui.presses import press_script

if TYPE_CHECKING:
    from studio.story import Story

CHANGE_SCRIPT = press_script("what")
"""Runs in the browser: a button of a row says what shall become of which run."""


@dataclass(frozen=True)
class Waiting:
    """One run that waits. `step` is where it goes on, 0 for one that has not begun."""

    name: str
    isolated: bool
    title: str = ""
    step: int = 0
    total_steps: int = 0


@dataclass(frozen=True)
class QueueState:
    """All that the sub-tab shows at one moment.

    `working` is the run that the queue has begun; `reason` why the next one has to wait; `ended`
    the runs that this queue has brought to an end, the latest first; `notes` what it left out.
    """

    waiting: tuple[Waiting, ...] = ()
    working: Story | None = None
    is_running: bool = False
    reason: str = ""
    trouble: tuple[str, str] | None = None
    ended: tuple[Story, ...] = ()
    notes: tuple[str, ...] = ()


def state_view(now: QueueState) -> str:
    """What the queue is doing, in a sentence, and the run that it works on."""
    parts = [_sentence(now)]
    if now.trouble:
        parts.append(note(*now.trouble, "problem"))
    if now.reason:
        parts.append(note(f"The next run waits: {now.reason}"))
    if now.working:
        parts.append(_working(now.working))
    return f'<div class="queue-state">{"".join(parts)}</div>'


def _sentence(now: QueueState) -> str:
    count = len(now.waiting)
    runs = "One run waits" if count == 1 else f"{count} runs wait"
    if not count:
        text = "Nothing waits." if not now.working else "Nothing waits after this run."
    elif now.is_running:
        text = f"{runs}. One begins when the one before has ended, failed ones included."
    elif now.working:
        text = f"{runs}, and the queue is held: the run at work goes on, no other begins."
    else:
        text = f"{runs}, and the queue is held: nothing begins by itself."
    return f'<p class="quiet" data-running="{str(now.is_running).lower()}">{escape(text)}</p>'


def _working(story: Story) -> str:
    steps = f"step {story.step:,} of {story.total_steps:,}" if story.total_steps else ""
    fraction = story.step / story.total_steps if story.total_steps else None
    return (f'<div class="queue-working" data-working="{escape(story.name)}"><div class="bar-line">'
            f"<span>{_pill(story.state)} <b>{escape(story.name)}</b></span>"
            f'<span class="quiet">{escape(steps)}</span></div>'
            f"{bar(fraction, 'progress of the run at work')}</div>")


def waiting_view(rows: Sequence[Waiting]) -> str:
    """The runs in order, each with its buttons."""
    if not rows:
        return empty("The queue is empty", "Press Add to queue beside Start. The run waits here "
                     "with the settings of that moment, also when the studio is closed.")
    last = len(rows) - 1
    inner = "".join(_row(row, place, last) for place, row in enumerate(rows))
    return f'<ol class="queue">{inner}</ol>'


def _row(row: Waiting, place: int, last: int) -> str:
    name = escape(row.name)
    about = []
    if row.step:
        about.append(f"goes on after step {row.step:,} of {row.total_steps:,}")
    if row.isolated:
        about.append("in a process of its own")
    shown = escape(row.title) or name
    title = f' title="{name}"' if row.title else ""
    more = f'<span class="quiet">{escape(", ".join(about))}</span>' if about else ""
    buttons = "".join((
        sign_button("up", row.name, "Earlier", "↑", is_off=place == 0),
        sign_button("down", row.name, "Later", "↓", is_off=place == last),
        sign_button("remove", row.name, "Remove from the queue", "✕"),
    ))
    return (f'<li data-run="{name}"><span class="queue-place">{place + 1}</span>'
            f'<span class="queue-name"{title}>{shown}</span>{more}'
            f'<span class="queue-buttons">{buttons}</span></li>')


def ended_view(stories: Sequence[Story], notes: Sequence[str]) -> str:
    """How the queue's runs ended, with what went wrong; nothing before the first has ended."""
    rows = "".join(_ended(story) for story in stories)
    told = "".join(note(text, level="warning") for text in notes)
    if not rows and not told:
        return ""
    table = f'<ul class="queue queue-ended">{rows}</ul>' if rows else ""
    return f"<h4>Ended since the studio was opened</h4>{table}{told}"


def _ended(story: Story) -> str:
    words = " ".join(story.error) if story.error else (
        f"loss {story.points[-1].loss:.4f}" if story.points else "")
    return (f'<li data-run="{escape(story.name)}" data-state="{escape(story.state)}">'
            f'{_pill(story.state)}<span class="queue-name">{escape(story.name)}</span>'
            f'<span class="quiet">{escape(words)}</span></li>')


def _pill(state: str) -> str:
    return f'<span class="pill pill-{escape(state)}">{escape(state_word(state))}</span>'
