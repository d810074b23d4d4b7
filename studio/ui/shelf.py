"""All runs of the home, kept open so that asking again reads only what was added.

A page asks every second or two; `runs.list_runs` alone would read every event of every run anew.
Holds nothing that is not in the run folders.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from studio.adapters.words import run_words
from studio.errors import RunError
from studio.runs import RECIPE_FILE, Run, list_runs, open_run
from studio.settings import Settings
from studio.story import Story


@dataclass(frozen=True)
class RunRow:
    """A run in one line. `loss` is None before the first step, `has_adapter` once it is saved.

    `title` and `note` are the person's own, `method` says what is trained, `best_loss` is the
    lowest held-out loss, minus the mean reward where the run `is_rewarded`.
    """

    name: str
    state: str
    step: int = 0
    total_steps: int = 0
    loss: float | None = None
    started_seconds: float | None = None
    has_adapter: bool = False
    title: str = ""
    note: str = ""
    method: str = ""
    best_loss: float | None = None
    is_rewarded: bool = False


class RunShelf:
    """The runs under `settings.runs`, shared by all pages."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._open: dict[tuple[Path, int], Run] = {}
        self._rows: dict[Path, tuple[tuple[int, int], RunRow]] = {}

    def runs(self) -> list[Run]:
        """Newest first; the same object for the same folder."""
        found = {}
        with self._lock:
            for run in list_runs(self._settings):
                key = (run.path, _made(run.path))
                found[key] = self._open.get(key, run)
            self._open = found
        return list(found.values())

    def get(self, name: str) -> Run:
        """The run of that name. Raises RunError, naming the nearest one, if there is none."""
        for run in self.runs():
            if run.name == name:
                return run
        return open_run(self._settings, name)

    def story(self, name: str) -> Story | None:
        """Of the run of that name; None when there is no name or no longer such a run."""
        try:
            return self.get(name).story() if name else None
        except RunError:
            return None

    def rows(self) -> list[RunRow]:
        """One line for each run, newest first."""
        found = {run.path: ((run.story().version, changed(run.path)), run) for run in self.runs()}
        kept = self._rows
        self._rows = {path: kept[path] if path in kept and kept[path][0] == key
                      else (key, _row(run)) for path, (key, run) in found.items()}
        return [row for _, row in self._rows.values()]


def _row(run: Run) -> RunRow:
    story = run.story()
    events = run.events()
    about = run.about
    return RunRow(
        run.name, story.state, story.step, story.total_steps,
        story.points[-1].loss if story.points else None,
        events[0].get("time") if events else None, run.has_adapter,
        about.title, about.note, _method(run), story.best[1] if story.best else None,
        story.is_rewarded,
    )


def _method(run: Run) -> str:
    """"SFT, LoRA rank 16"; empty for a damaged recipe."""
    recipe = run.readable_recipe
    return run_words(recipe) if recipe else ""


def changed(path: Path) -> int:
    """When a file changed, or something came into a folder or left it; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _made(path: Path) -> int:
    """Tells a folder that was deleted and made again from the first one."""
    try:
        return (path / RECIPE_FILE).stat().st_ino
    except OSError:
        return 0
