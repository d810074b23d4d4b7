"""The buttons under a run's state: pause, stop and keep, cancel, resume, into the queue.

Wiring and handlers. Each acts on the run that is shown, whichever program trains it; what was asked
already cannot be pressed again. A cancel deletes, so it asks first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui.guard import guarded
from studio.ui.markup import note
from studio.ui.seen import NEVER
from studio.ui.shared import QUIET

if TYPE_CHECKING:
    from studio.training.control import Ask
    from studio.ui.panels.train_run import Snapshot
    from studio.ui.seen import Part
    from studio.ui.studio import Studio

BUTTONS = (
    ("pause", "Pause", "secondary"), ("stop", "Stop and keep", "secondary"),
    ("cancel", "Cancel", "stop"), ("resume", "Resume", "primary"),
    ("requeue", "Resume in the queue", "secondary"),
    ("at_work", "Show the run at work", "secondary"),
)
"""(part, label, variant) in the order of the page."""
CONFIRM = note("Cancel this run? Its checkpoints and its adapter are deleted.",
               "Pause, and Stop and keep, leave them where they are.", "warning")


def build(isolated: gr.Checkbox) -> dict[str, Any]:
    """The components by part; all hidden until a run is there that they fit."""
    parts: dict[str, Any] = {"isolated": isolated}
    with gr.Row(elem_classes="run-buttons"):
        for name, label, variant in BUTTONS:
            parts[name] = _button(label, variant, f"train-{name.replace('_', '-')}", visible=False)
    with gr.Row(elem_classes=["run-buttons", "run-confirm"], visible=False,
                elem_id="train-confirm") as parts["confirm"]:
        gr.HTML(CONFIRM, padding=False)
        parts["cancel_now"] = _button("Cancel and delete", "stop", "train-cancel-now")
        parts["cancel_not"] = _button("Go on training", "secondary", "train-cancel-not")
    return parts


def _button(label: str, variant: Any, elem_id: str, *, visible: bool = True) -> gr.Button:
    return gr.Button(label, variant=variant, size="sm", scale=0, min_width=0, visible=visible,
                     elem_id=elem_id)


def wire(
    studio: Studio, parts: dict[str, Any], states: list[gr.State], shown: list[Any],
    refresh: Callable[..., list[Any]],
) -> None:
    """`states` are chosen, seen and cancelling; `refresh(*states)` gives the updates of `shown`."""
    chosen, _, cancelling = states

    def acting(act: Callable[[str, bool], str | None]) -> Callable[..., Any]:
        """A handler that does `act(name, isolated)`; what that gives is the run to ask about."""
        def handle(chosen: str, isolated: bool) -> list[Any]:
            run = studio.run_to_show(chosen)
            asking = act(run.name, isolated) or "" if run else ""
            return [asking, *refresh(chosen, NEVER, asking)]

        return guarded(handle)

    actions: dict[str, Callable[[str, bool], str | None]] = {
        "pause": lambda name, isolated: ask_run(studio, name, "pause"),
        "stop": lambda name, isolated: ask_run(studio, name, "stop"),
        "cancel": lambda name, isolated: name,
        "cancel_now": lambda name, isolated: ask_run(studio, name, "cancel"),
        "cancel_not": lambda name, isolated: None,
        "resume": functools.partial(resume_run, studio),
        "requeue": functools.partial(requeue_run, studio),
    }
    for part, act in actions.items():
        parts[part].click(acting(act), [chosen, parts["isolated"]], [cancelling, *shown], **QUIET)
    parts["at_work"].click(lambda: ["", *refresh("", NEVER)], None, [chosen, *shown], **QUIET)


def ask_run(studio: Studio, name: str, what: Ask) -> None:
    """Ask a run at work to end, here or in the program that trains it. Raises RunError."""
    from studio.training.control import request_end

    jobs, active = studio.jobs, studio.jobs.active
    if active is not None and active.name == name:
        {"pause": jobs.pause, "stop": jobs.stop, "cancel": jobs.cancel}[what]()
        return
    request_end(studio.shelf.get(name), what)
    gr.Info("Another program trains this run; it is told.", duration=4)


def resume_run(studio: Studio, name: str, isolated: bool) -> None:
    """Go on with a run, or begin one that waits. Raises BusyError, RunError, RecipeError."""
    studio.jobs.resume(name, isolated=isolated)


def requeue_run(studio: Studio, name: str, isolated: bool) -> None:
    """Let a run go on when it is its turn. Raises RunError."""
    studio.queue.add_again(name, isolated=isolated)
    gr.Info("It goes on when it is its turn; see the Queue.", duration=4)


def view(now: Snapshot) -> dict[str, Part]:
    """For each button the key that changes when it does, and its update."""
    story = now.story
    is_active = story is not None and story.is_active
    asks = {what: (is_active, what in now.can_ask) for what in ("pause", "stop", "cancel")}
    confirms = "cancel" in now.can_ask and story is not None and now.cancelling == story.name
    is_new = story is not None and story.state == "queued"
    is_elsewhere = bool(now.active) and story is not None and now.active != story.name
    labels = {
        "resume": (now.can_resume, "Start now" if is_new else "Resume"),
        "requeue": (now.can_go_on and not now.waits,
                    "Add to the queue" if is_new else "Resume in the queue"),
        "at_work": (is_elsewhere, "Show the run at work"),
    }
    return {
        **{name: (key, functools.partial(gr.Button, visible=key[0], interactive=key[1]))
           for name, key in asks.items()},
        **{name: (key, functools.partial(gr.Button, value=key[1], visible=key[0]))
           for name, key in labels.items()},
        "confirm": (confirms, lambda: gr.Row(visible=confirms)),
    }
