"""Training in a process of its own: the same events, and nothing of it left in this program.

The child (`isolated_process.py`) owns the run and writes its story; this side hands on what is
asked, waits, and tells an end that the child could not tell itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from studio.child import Child, studio_module
from studio.errors import RunError
from studio.files import write_json_safely
from studio.runs import Run, require_run_folder
from studio.settings import Settings
from studio.story import FINAL_STATES
from studio.training.control import Ask, Control, leave_request
from studio.training.neighbours import MakeRoom, nobody_leaves, others_left
from studio.training.recovery import adapt_after_death
from studio.training.reporter import StateReporter

_MEMORY_RAN_OUT = (
    "The system ended the training's process, as it does when main memory runs out.",
    "Close other programs, lower training.batch_size or data.max_length, and resume the run.",
)


def train_isolated(run: Run, control: Control, *, settings: Settings, resume: bool = False,
                   make_room: MakeRoom = nobody_leaves) -> str:
    """Train in a child and wait; gives the final state as `train` does.

    A child that the system ended for its memory is followed by one that has more of it, since
    others made room, or needs less, as long as there is something left to change. Raises RunError
    after it is in the run's events, or where its folder is gone.
    """
    child = _train_in_child(run, control, settings, resume)
    while child.was_killed and not control() and _can_go_on(run, make_room):
        child = _train_in_child(run, control, settings, resume=True)
    return _ending(child, run)


def _train_in_child(run: Run, control: Control, settings: Settings, resume: bool) -> Child:
    """The child after its end."""
    request = run.path / "process.json"
    write_json_safely(request, {"home": str(settings.home), "offline": settings.offline,
                                "resume": resume, "parent": os.getpid()})
    try:
        # In this folder, since a recipe may name its files from here.
        with Child(studio_module("studio.training.isolated_process", str(run.path)),
                   cwd=Path.cwd()) as child:
            _watch(child, run, control)
        return child
    finally:
        request.unlink(missing_ok=True)


def _can_go_on(run: Run, make_room: MakeRoom) -> bool:
    when = f"in step {run.story().step + 1}"
    with run.owned():
        return others_left(run, when, make_room) or adapt_after_death(run)


def _watch(child: Child, run: Run, control: Control) -> None:
    """Until the child has ended; what is asked here reaches it through the run folder."""
    told: Ask = ""
    while not child.has_ended():
        if control() and control.asked != told:
            told = control.asked
            leave_request(run, told)


def _ending(child: Child, run: Run) -> str:
    require_run_folder(run)
    story = run.story()
    if story.state in FINAL_STATES and child.has_succeeded:
        if story.error is not None:
            raise RunError(*story.error)
        return story.state
    message, hint = _MEMORY_RAN_OUT if child.was_killed else (
        f"The training's process broke off: {child.last_words}",
        "Resume the run; if it breaks again, train it without a process of its own to see more.")
    with run.owned():
        run.append("error", message=message, hint=hint)
        StateReporter(run).enter("failed")
    raise RunError(message, hint)
