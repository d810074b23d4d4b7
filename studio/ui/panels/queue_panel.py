"""The Queue sub-tab of the Train tab: what waits, in which order, and whether it is worked off.

Wiring and handlers; what is shown is in `queue_view.py`. The queue is a file of the home and is
worked off by the program, so pages and restarts change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels import queue_view
from studio.ui.panels.queue_view import QueueState, Waiting
from studio.ui.seen import NEVER, seen_by_page, unless_seen
from studio.ui.shared import PRIVATE, QUIET, Shared

if TYPE_CHECKING:
    from studio.training.queue import Entry
    from studio.ui.studio import Studio

ENDED_SHOWN = 20
NOTES_SHOWN = 5
PLACES = {"up": -1, "down": 1}


@dataclass(frozen=True)
class QueuePart:
    """What shows the queue: the components, and `refresh(seen)` that gives their updates."""

    shown: list[Any]
    refresh: Callable[[Any], Any]


def build(studio: Studio, shared: Shared) -> QueuePart:
    """What the queue does, its buttons, the runs that wait, those that ended."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Queue"))
        state = gr.HTML(elem_id="queue-state", padding=False)
        with gr.Row(elem_classes="run-buttons"):
            run = gr.Button("Run the queue", variant="primary", size="sm", scale=0, min_width=0,
                            visible=False, elem_id="queue-run")
            hold = gr.Button("Hold the queue", size="sm", scale=0, min_width=0, visible=False,
                             elem_id="queue-hold")
        waiting = gr.HTML(queue_view.waiting_view(()), elem_id="queue-waiting", padding=False,
                          js_on_load=queue_view.CHANGE_SCRIPT)
        ended = gr.HTML(elem_id="queue-ended", padding=False)
    seen = seen_by_page()
    part = QueuePart([state, run, hold, waiting, ended, seen],
                     lambda seen: page(look(studio), seen))
    _wire(studio, shared, part)
    return part


def _wire(studio: Studio, shared: Shared, part: QueuePart) -> None:
    _, run, hold, waiting, _, seen = part.shown

    def run_queue() -> Any:
        studio.queue_runner.run()
        return part.refresh(NEVER)

    def hold_queue() -> Any:
        studio.queue_runner.hold()
        return part.refresh(NEVER)

    def change(event: gr.EventData) -> Any:
        change_queue(studio, str(event.what), str(event.name))
        return part.refresh(NEVER)

    shared.ticks.add(part.refresh, [seen], part.shown)
    shared.demo.load(part.refresh, [seen], part.shown, **QUIET)
    run.click(guarded(run_queue), None, part.shown, **PRIVATE)
    hold.click(guarded(hold_queue), None, part.shown, **QUIET)
    waiting.click(guarded(change), None, part.shown, **QUIET)


def change_queue(studio: Studio, what: str, name: str) -> None:
    """Move a run up or down, or remove it. Raises RunError for one that no longer waits."""
    if what == "remove":
        studio.queue.remove(name)
    elif what in PLACES:
        studio.queue.move(name, PLACES[what])


def look(studio: Studio) -> QueueState:
    """Read the queue and the runs in it as they are now."""
    runner, queue = studio.queue_runner, studio.queue
    entries = queue.entries()
    stories = (studio.shelf.story(name) for name in reversed(runner.finished[-ENDED_SHOWN:]))
    trouble = runner.trouble
    return QueueState(
        tuple(_waiting(studio, entry) for entry in entries), studio.shelf.story(queue.working),
        runner.is_running, runner.waiting_for,
        (trouble.message, trouble.hint) if trouble else None,
        tuple(story for story in stories if story), tuple(queue.notes[-NOTES_SHOWN:]),
    )


def _waiting(studio: Studio, entry: Entry) -> Waiting:
    run = studio.shelf.get(entry.name)
    story = run.story()
    return Waiting(entry.name, entry.isolated, run.about.title, story.step, story.total_steps)


def page(now: QueueState, seen: Any) -> Any:
    """Updates for the components and for what was seen; nothing if all of it is known."""
    can_run = bool(now.waiting) and not now.is_running
    return unless_seen(_key(now), seen, lambda: [
        queue_view.state_view(now), gr.Button(visible=can_run),
        gr.Button(visible=now.is_running), queue_view.waiting_view(now.waiting),
        queue_view.ended_view(now.ended, now.notes),
    ])


def _key(now: QueueState) -> tuple[Any, ...]:
    """Changes when the page does. Of a story its name and version: a state is small."""
    working = now.working and (now.working.name, now.working.version)
    ended = tuple((story.name, story.version) for story in now.ended)
    return now.waiting, working, now.is_running, now.reason, now.trouble, ended, now.notes
