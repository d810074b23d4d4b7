"""`pause`, `stop` and `cancel`: end a run that another program trains, such as an open studio."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, open_settings, report
from studio.cli.training import LOOK_EVERY_SECONDS, result_of, show_result, tell_progress
from studio.errors import RunError
from studio.runs import Run, list_runs, open_run
from studio.settings import Settings
from studio.training.control import Ask, request_end

verbs = typer.Typer()
Name = Annotated[str | None, typer.Argument(
    metavar="NAME", help="A run at work; may be left out where there is only one.")]


@verbs.command()
def pause(name: Name = None, home: Home = None, as_json: AsJson = False) -> None:
    """Pause a run: its memory is freed, and `resume` goes on from the same step."""
    _end(name, "pause", open_settings(home), as_json)


@verbs.command()
def stop(name: Name = None, home: Home = None, as_json: AsJson = False) -> None:
    """Stop a run and keep what it has learned as an adapter."""
    _end(name, "stop", open_settings(home), as_json)


@verbs.command()
def cancel(name: Name = None, home: Home = None, as_json: AsJson = False) -> None:
    """Cancel a run: what it has learned is deleted, its recipe and its story stay."""
    _end(name, "cancel", open_settings(home), as_json)


def _end(name: str | None, what: Ask, settings: Settings, as_json: bool) -> None:
    """Ask, and wait until it is obeyed."""

    def work() -> dict[str, Any]:
        run = open_run(settings, name) if name else _only_one_at_work(settings)
        request_end(run, what)
        with show.bar() as progress:
            while run.story().is_active:
                tell_progress(run.story(), progress)
                time.sleep(LOOK_EVERY_SECONDS)
        return result_of(run)

    report(as_json, work, show_result)


def _only_one_at_work(settings: Settings) -> Run:
    found = [run for run in list_runs(settings) if run.is_owned]
    if not found:
        raise RunError(f"Nothing is being trained in {settings.home} right now.",
                       "Is the studio open with another --home?")
    if len(found) > 1:
        raise RunError(f"{len(found)} runs are being trained in {settings.home}.",
                       f"Name one of them: {', '.join(run.name for run in found)}.")
    return found[0]
