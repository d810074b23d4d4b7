"""`queue`: the runs that wait for their turn; list, reorder, remove, and work them off.

`train --queue` adds to it.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.arbiter import Arbiter
from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, finite, open_settings, report
from studio.cli.show import console
from studio.cli.training import LOOK_EVERY_SECONDS, tell_progress
from studio.progress import Progress, Step
from studio.runs import open_run
from studio.settings import Settings
from studio.training.job import JobRunner
from studio.training.queue import Queue
from studio.training.queue_runner import QueueRunner

verbs = typer.Typer()


@verbs.command()
def queue(
    run: Annotated[bool, typer.Option("--run", help="Train what waits, one after the other, until "
                                      "nothing is left. Ctrl+C stops it and keeps its place.")] =
    False,
    move: Annotated[tuple[str, int] | None, typer.Option(
        "--move", metavar="NAME PLACES", help="Move a run back by so many places; a negative "
        "number moves it forward.")] = None,
    remove: Annotated[str | None, typer.Option(
        "--remove", metavar="NAME", help="Take a run out; one that never began is deleted.")] =
    None,
    again: Annotated[str | None, typer.Option(
        "--again", metavar="NAME", help="Let a paused, stopped or failed run wait to go on.")] =
    None,
    home: Home = None, offline: Offline = False, as_json: AsJson = False,
) -> None:
    """List the runs that wait, after the change that is asked for. `train --queue` adds one."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        runner = QueueRunner(settings, JobRunner(settings, Arbiter()))
        waiting = runner.queue
        if again is not None:
            waiting.add_again(again)
        if move is not None:
            waiting.move(*move)
        if remove is not None:
            waiting.remove(remove)
        if run:
            _work_off(runner, settings)
        return {**what_waits(waiting, settings), "finished": [
            _ended(settings, name) for name in runner.finished]}

    report(as_json, work, _show)


def what_waits(waiting: Queue, settings: Settings) -> dict[str, Any]:
    """The queue as plain data."""
    entries = waiting.entries()
    return {
        "working": waiting.working,
        "entries": [{"name": entry.name, "isolated": entry.isolated,
                     "state": open_run(settings, entry.name).story().state} for entry in entries],
        "notes": waiting.notes,
    }


def _work_off(runner: QueueRunner, settings: Settings) -> None:
    """Until nothing waits, the queue is held, or Ctrl+C. Raises what brought it to a halt."""
    runner.run()
    with show.bar() as progress:
        try:
            while runner.is_working:
                runner.wait(LOOK_EVERY_SECONDS)
                _tell(runner, settings, progress)
        except KeyboardInterrupt:
            progress(Step("Stopping, keeping what it has"))
            runner.close()
    if runner.trouble is not None:
        raise runner.trouble


def _tell(runner: QueueRunner, settings: Settings, progress: Progress) -> None:
    name = runner.queue.working
    if runner.waiting_for:
        progress(Step(f"Waiting: {runner.waiting_for}"))
    elif name:
        tell_progress(open_run(settings, name).story(), progress)


def _ended(settings: Settings, name: str) -> dict[str, Any]:
    story = open_run(settings, name).story()
    return {"run": name, "state": story.state, "step": story.step,
            "total_steps": story.total_steps,
            "loss": finite(story.points[-1].loss) if story.points else None,
            "error": " ".join(story.error) if story.error else None}


def _show(found: dict[str, Any]) -> None:
    for ended in found["finished"]:
        loss = "" if ended["loss"] is None else f", loss {ended['loss']:.4f}"
        console.print(f"Run {ended['run']}: {ended['state']} at step {ended['step']} of "
                      f"{ended['total_steps']}{loss}.")
        if ended["error"]:
            console.print(f"  {show.escape(ended['error'])}", soft_wrap=True)
    for note in found["notes"]:
        console.print(show.escape(note), soft_wrap=True)
    if found["working"]:
        console.print(f"At work: {found['working']}")
    if not found["entries"]:
        console.print("Nothing waits in the queue. Add a run with: launch.py train RECIPE --queue")
        return
    show.table("Queue", ("Place", "Run", "State", "Process"), (
        (str(place), entry["name"], entry["state"], "its own" if entry["isolated"] else "shared")
        for place, entry in enumerate(found["entries"], start=1)))
    console.print("Train them with: launch.py queue --run")
