"""Sends a run's curves to the trackers that its recipe names; all are off by default.

Reads them from the run's events, so that a tracker knows what the page knows. A tracker that
fails is left out with one warning, and the run goes on; what it missed is in the run anyway.
Keeps no secret: the login of a tracker is its own business and is never written by the studio.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from studio.errors import RunError
from studio.extras import install_command, is_installed
from studio.files import write_json_safely
from studio.hardware.telemetry import read_telemetry
from studio.recipe import Recipe
from studio.runs import Run
from studio.settings import Settings
from studio.training.curves import public_recipe, rows_of
from studio.training.observer import Live, Observer
from studio.training.tracker_kinds import (
    TensorBoardFiles,
    Tracked,
    Tracker,
    TrackioDatabase,
    WeightsAndBiases,
)

FILE_NAME = "trackers.json"
"""Holds the name under which trackers know the run, so that a resumed run goes on there."""


def trackers_of(recipe: Recipe) -> list[Tracker]:
    """Those that the recipe switches on."""
    wanted: list[tuple[bool, type[Tracker]]] = [
        (recipe.monitor.tensorboard, TensorBoardFiles),
        (recipe.monitor.wandb, WeightsAndBiases),
        (recipe.monitor.trackio, TrackioDatabase),
    ]
    return [kind() for is_on, kind in wanted if is_on]


def require_trackers(recipe: Recipe, settings: Settings) -> None:
    """Raises RunError where a tracker is not installed or nobody is logged in. Loads no model."""
    wanted = trackers_of(recipe)
    missing = [one for one in wanted if not is_installed(one.module)]
    if missing:
        names = " and ".join(one.name for one in missing)
        command = install_command(one.package for one in missing)
        raise RunError(
            f"{names} {'is' if len(missing) == 1 else 'are'} switched on in the recipe, but the "
            f"package is not installed.",
            f"Install it with: {command}, or switch it off in the recipe (monitor).")
    for fault in filter(None, (one.fault(settings) for one in wanted)):
        raise fault


class Trackers(Observer):
    """Tells every tracker what the run logs, measures, scores, and forgets."""

    what = "the trackers"

    def __init__(self, recipe: Recipe) -> None:
        self._working = trackers_of(recipe)
        """Those that have not failed yet."""
        self._open: list[Tracker] = []
        self._run: Run | None = None
        self._told = 0

    def begin(self, live: Live) -> None:
        """Opens all; after a resume they get the curve up to the step that it goes on from.

        A run that had to begin again within itself opens them anew.
        """
        if not self._working:
            return
        self._let_go()
        self._run = live.run
        self._samples = read_telemetry(live.run.path)
        tracked = Tracked(live.run, tracker_id(live.run), live.recipe.monitor.project,
                          public_recipe(live.recipe), live.settings)
        events = live.run.events()
        self._told = len(events)
        so_far = rows_of(events, self._samples.read())
        self._working = [one for one in self._working
                         if self._tried(one, partial(one.open, tracked, so_far))]
        self._open = list(self._working)

    def logged(self, event: dict[str, Any]) -> None:
        """Tells what is new."""
        self._tell()

    def evaluated(self, step: int, loss: float) -> None:
        """Tells what is new."""
        self._tell()

    def ended(self, step: int) -> None:
        """Tells what is new."""
        self._tell()

    def close(self) -> None:
        """Tells the rest and lets go of all."""
        self._tell()
        self._let_go()

    def _tell(self) -> None:
        if self._run is None or not self._open:
            return
        events = self._run.events()
        fresh, self._told = events[self._told:], len(events)
        for row in rows_of(fresh, self._samples.read() if fresh else ()):
            self._open = [one for one in self._open if self._tried(one, partial(one.tell, row))]
        self._working = list(self._open)

    def _let_go(self) -> None:
        for one in self._open:
            self._tried(one, one.close)
        self._open = []

    def _tried(self, one: Tracker, work: Callable[[], None]) -> bool:
        """Whether `work` went well; if not, the run has a warning."""
        assert self._run is not None
        try:
            work()
        except one.failures() as error:
            # Its failure is told once; that it cannot let go properly either is no news.
            with suppress(*one.failures()):
                one.close()
            words = next(iter(str(error).splitlines()), "") or type(error).__name__
            self._run.append("note", level="warning", text=(
                f"{one.name} does not work and is left out from here on; the run goes on, and "
                f"its curves are kept in the run folder. It said: {words}"))
            return False
        return True


def tracker_id(run: Run) -> str:
    """The id of this run in every tracker: made once, then read from its folder."""
    path = run.path / FILE_NAME
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        made = uuid.uuid4().hex[:16]
        write_json_safely(path, {"id": made})
        return made
