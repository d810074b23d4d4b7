"""The runs that wait for their turn, in a file of the home that survives every restart.

A waiting run is a run folder with its recipe and no events yet, or a paused, stopped or failed run
that shall go on. Keeps the order only; who works it off is `queue_runner.py`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from studio.errors import BusyError, RunError
from studio.files import safe_name, write_json_safely
from studio.ownership import OwnerLock
from studio.recipe import Recipe
from studio.runs import Run, create_run, open_run
from studio.settings import Settings
from studio.story import Story
from studio.training.checkpoints import require_resumable

_LOCK_SECONDS = 10
_OVER = ("done", "cancelled")


@dataclass(frozen=True)
class Entry:
    """One run in the queue. `isolated`: it trains in a process of its own."""

    name: str
    isolated: bool = False


@dataclass
class _Kept:
    """The file's content. `working` was taken and has not ended yet."""

    entries: list[Entry] = field(default_factory=list)
    working: Entry | None = None


class Queue:
    """The queue of one home. Several studios and threads may change it at the same time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.home / "queue.json"
        self.worker = OwnerLock(settings.home / "queue-worker.json")
        """Held by whoever works the queue off."""
        self.notes: list[str] = []
        """What this object left out of the queue, and why; a sentence each."""

    def entries(self) -> list[Entry]:
        """Those that wait, in order. What an ended program had begun waits again, first."""
        kept = self._read()
        if not self._is_settled(kept):
            with self._changed() as kept:
                pass
        return list(kept.entries)

    @property
    def working(self) -> str:
        """The name of the run that was taken and has not ended yet, or empty."""
        kept = self._read()
        return kept.working.name if kept.working and self.worker.is_alive() else ""

    def add(self, recipe: Recipe, name: str | None = None, *, isolated: bool = False) -> Run:
        """Make a run and let it wait at the end. Raises RunError for a name that is taken."""
        run = create_run(self._settings, recipe, name)
        with self._changed() as kept:
            kept.entries.append(Entry(run.name, isolated))
        return run

    def add_all(
        self, recipes: Sequence[tuple[str, Recipe]], *, isolated: bool = False
    ) -> list[Run]:
        """Make a run of each (name, recipe); none of them if a name is taken. Raises RunError."""
        taken = [name for name, _ in recipes if (self._settings.runs / safe_name(name)).exists()]
        if taken:
            raise RunError(
                f"There is already a run named {taken[0]}.",
                "Give these runs a name of their own: it is put before each of their names.")
        return [self.add(recipe, name, isolated=isolated) for name, recipe in recipes]

    def add_again(self, name: str, *, isolated: bool = False) -> Run:
        """Let a run that exists go on when it is its turn.

        Raises RunError for one that is missing, finished, cancelled, active, or waiting already.
        """
        run = open_run(self._settings, name)
        require_resumable(run)
        with self._changed() as kept:
            if any(entry.name == name for entry in kept.entries):
                raise RunError(f"The run {name} waits in the queue already.", "Move it instead.")
            kept.entries.append(Entry(name, isolated))
        return run

    def move(self, name: str, places: int) -> None:
        """Move an entry by so many places, back when positive; not beyond either end."""
        with self._changed() as kept:
            at = self._place(kept, name)
            kept.entries.insert(max(0, at + places), kept.entries.pop(at))

    def remove(self, name: str) -> None:
        """Take an entry out; the folder of a run that never began is deleted too."""
        with self._changed() as kept:
            kept.entries.pop(self._place(kept, name))
            run = Run(self._settings.runs / name)
            if run.story().state == "queued":
                shutil.rmtree(run.path)

    def take(self) -> Entry | None:
        """The first entry, which counts as working until `ended`; None when nothing waits."""
        with self._changed() as kept:
            # Still there only where the process of a studio that is gone has not ended yet.
            _return_working(kept)
            kept.working = kept.entries.pop(0) if kept.entries else None
            return kept.working

    def put_back(self) -> None:
        """What was taken waits again, first."""
        with self._changed() as kept:
            _return_working(kept)

    def ended(self) -> None:
        """What was taken is over."""
        with self._changed() as kept:
            kept.working = None

    def _place(self, kept: _Kept, name: str) -> int:
        for at, entry in enumerate(kept.entries):
            if entry.name == name:
                return at
        waiting = ", ".join(entry.name for entry in kept.entries) or "nothing"
        raise RunError(f"The run {name} does not wait in the queue.", f"Waiting: {waiting}.")

    @contextmanager
    def _changed(self) -> Iterator[_Kept]:
        """Gives the content to change; it is written when the block ends well."""
        from filelock import FileLock, Timeout

        self._settings.home.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(self._path.with_suffix(".lock")).acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            raise BusyError("Another studio is changing the queue right now.",
                            "Try again in a moment.") from None
        with held:
            kept = self._read()
            self._settle(kept)
            yield kept
            write_json_safely(self._path, asdict(kept))

    def _read(self) -> _Kept:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            working = found["working"]
            return _Kept([Entry(**entry) for entry in found["entries"]],
                         Entry(**working) if working else None)
        except FileNotFoundError:
            return _Kept()
        except (ValueError, KeyError, TypeError):
            raise RunError(
                f"The queue's file {self._path} cannot be read.",
                "Delete it. The runs that waited are still in the list of runs; add them again.",
            ) from None

    def _is_settled(self, kept: _Kept) -> bool:
        return not self._is_lost(kept.working) and all(
            self._why_not(entry) is None for entry in kept.entries)

    def _settle(self, kept: _Kept) -> None:
        """Leave out what can no longer wait, and bring back what an ended program had begun."""
        if self._is_lost(kept.working):
            _return_working(kept)
        for entry in list(kept.entries):
            why = self._why_not(entry)
            if why is not None:
                kept.entries.remove(entry)
                self.notes.append(f"{entry.name} is no longer in the queue: {why}.")

    def _is_lost(self, working: Entry | None) -> bool:
        """Whether nobody works on it any more, neither a queue's worker nor its process."""
        return (working is not None and not self.worker.is_alive()
                and not Run(self._settings.runs / working.name).is_owned)

    def _why_not(self, entry: Entry) -> str | None:
        """Why an entry can no longer wait, or None."""
        path = self._settings.runs / entry.name
        if not path.is_dir():
            return "its folder is gone"
        story: Story = Run(path).story()
        if story.state in _OVER:
            return f"it is {story.state}"
        return "it is being trained" if story.is_active else None


def _return_working(kept: _Kept) -> None:
    if kept.working is not None:
        kept.entries.insert(0, kept.working)
    kept.working = None
