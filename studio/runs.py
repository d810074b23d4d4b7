"""The run folder: create it, append events to it, read it back, list all of them.

The only truth about what a run did. `events.jsonl` is append only and strict JSON, one object a
line; what the events add up to is told by `story.py`. Nothing here trains or loads a model.
"""

from __future__ import annotations

import difflib
import functools
import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.about import About, read_about, write_about
from studio.errors import RecipeError, RunError
from studio.files import PARTIAL, safe_name
from studio.json_lines import JsonLines
from studio.ownership import OwnerLock
from studio.recipe import Recipe, load_recipe, save_recipe
from studio.story import Story, tell

if TYPE_CHECKING:
    from studio.settings import Settings

RECIPE_FILE = "recipe.yaml"
COMPLETE = "complete.json"
"""Written into a checkpoint last: size in bytes and SHA-256 of every other file in it."""


class Run:
    """One run folder. Safe to use from several threads; making one reads nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._owner = OwnerLock(path / "owner.json")
        self._append_lock = threading.Lock()
        self._ends_with_newline = False
        self._reader = JsonLines(path / "events.jsonl", _event)
        self._told: tuple[tuple[int, bool], Story] | None = None

    def __repr__(self) -> str:
        return f"Run({self.name!r})"

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The recipe of this run. Raises RecipeError when the file is missing or damaged."""
        return load_recipe(self.path / RECIPE_FILE)

    @property
    def about(self) -> About:
        """The person's own title and note."""
        return read_about(self.path)

    def set_about(self, *, title: str | None = None, note: str | None = None) -> About:
        """Change the title, the note, or both; gives what is kept now. Errors as `write_about`."""
        now = self.about
        return write_about(self.path, About(now.title if title is None else title,
                                            now.note if note is None else note))

    @property
    def readable_recipe(self) -> Recipe | None:
        """The same, or None where the file is missing or damaged."""
        try:
            return self.recipe
        except RecipeError:
            return None

    @property
    def last_told_seconds(self) -> float:
        """When it told something last, in Unix time; 0 for a run that never began."""
        events = self.events()
        return float(events[-1].get("time", 0.0)) if events else 0.0

    @property
    def adapter_path(self) -> Path:
        """The trained adapter, or the whole model where the recipe's adapter method is none."""
        return self.path / "adapter"

    @property
    def checkpoint_path(self) -> Path:
        """The folder that holds one folder per checkpoint."""
        return self.path / "checkpoints"

    @property
    def has_adapter(self) -> bool:
        """True once `adapter/` is complete: it is renamed into place as a whole."""
        configs = ("adapter_config.json", "config.json")
        return (any((self.adapter_path / name).is_file() for name in configs)
                and any(self.adapter_path.glob("*.safetensors")))

    def append(self, type: str, **fields: Any) -> None:
        """Add one line to events.jsonl and flush it. Floats keep their full precision.

        JSON knows no NaN and no infinity: such a value is written as null, and its spelling is
        kept in `not_finite`, as in {"loss": null, "not_finite": {"loss": "nan"}}. `events` gives
        the float back.
        """
        event: dict[str, Any] = {"type": type, "time": time.time(), **fields}
        odd = {key: str(value) for key, value in event.items()
               if isinstance(value, float) and not math.isfinite(value)}
        if odd:
            event.update({**dict.fromkeys(odd), "not_finite": odd})
        line = json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with self._append_lock, (self.path / "events.jsonl").open("ab") as file:
            if not self._ends_with_newline:
                # A crash may have torn the last line; the next one must not be glued to it.
                line = (b"" if _ends_with_newline(self.path / "events.jsonl") else b"\n") + line
            # A disk that is full may take half of the line.
            self._ends_with_newline = False
            file.write(line)
            file.flush()
            self._ends_with_newline = True

    def events(self) -> list[dict[str, Any]]:
        """Every event so far, oldest first. A torn line is left out."""
        return self._reader.read()

    def story(self) -> Story:
        """What the events add up to. Cheap to ask again: only new lines are read."""
        alive = self._owner.is_alive()
        events = self.events()
        key = (len(events), alive)
        told = self._told
        if told is None or told[0] != key:
            told = (key, tell(self.name, events, alive))
            self._told = told
        return told[1]

    def checkpoints(self) -> list[Path]:
        """The complete checkpoints, oldest first; a torn one is left out.

        Looks at sizes only; a resume compares the digests too.
        """
        if not self.checkpoint_path.is_dir():
            return []
        found = [path for path in self.checkpoint_path.iterdir() if checkpoint_step(path) >= 0]
        return sorted(filter(_is_complete, found), key=checkpoint_step)

    @property
    def is_owned(self) -> bool:
        """True while a living process, this one included, trains the run."""
        return self._owner.is_alive()

    def lock(self) -> None:
        """Make this process the owner. Raises RunError while another living process owns it."""
        if not self._owner.take():
            raise RunError(f"The run {self.name} is being trained by another program right now.",
                           "Stop it there first, or start a new run.")

    def unlock(self) -> None:
        """Give the run up; does nothing if this process does not own it."""
        self._owner.release()

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the run for the length of a block."""
        self.lock()
        try:
            yield
        finally:
            self.unlock()


def create_run(settings: Settings, recipe: Recipe, name: str | None = None) -> Run:
    """Make the folder of a new run and save the recipe in it.

    A given name is turned into a valid file name first. Raises RunError if it is taken.
    """
    settings.runs.mkdir(parents=True, exist_ok=True)
    path = _new_folder(settings.runs, name, recipe.training.method)
    save_recipe(recipe, path / RECIPE_FILE)
    return Run(path)


def open_run(settings: Settings, name: str) -> Run:
    """The run of that name. Raises RunError naming the nearest one if there is none.

    The name is looked up among the folders that exist, so it can never lead out of the home.
    """
    runs = {run.name: run for run in list_runs(settings)}
    if name in runs:
        return runs[name]
    near = difflib.get_close_matches(name, runs, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else (
        "Choose one of the runs in the list." if runs else "Train something first.")
    raise RunError(f"There is no run named {name!r} in {settings.runs}.", hint)


def list_runs(settings: Settings) -> list[Run]:
    """Every run under the home, newest first. A damaged one is listed too and hides no other."""
    if not settings.runs.is_dir():
        return []
    dated = []
    for path in settings.runs.iterdir():
        if path.is_dir() and not path.name.startswith(PARTIAL):
            created = _created(path)
            if created is not None:
                dated.append((created, path.name, path))
    return [Run(path) for _, _, path in sorted(dated, reverse=True)]


def run_folder_around(path: Path) -> Path | None:
    """The run folder that `path` is or lies in (adapter/, checkpoints/checkpoint-100/)."""
    # A checkpoint keeps a copy of the recipe.
    return next((folder for folder in (path, path.parent, path.parent.parent)
                 if (folder / RECIPE_FILE).is_file() and not (folder / COMPLETE).exists()), None)


def require_run_folder(run: Run) -> None:
    """Raise RunError where the folder of `run` has gone."""
    if not run.path.is_dir():
        raise RunError(
            f"The folder of the run {run.name} has gone: {run.path}.",
            "Bring it back (from the bin, or by connecting the disk again) and resume the run; "
            "without it the run has to be started anew.",
        )


def checkpoint_step(path: Path) -> int:
    """The optimizer step of a checkpoint folder, -1 for any other folder."""
    prefix, _, step = path.name.partition("-")
    return int(step) if prefix == "checkpoint" and step.isdigit() else -1


def checkpoint_files(path: Path) -> dict[str, int]:
    """Relative name to size in bytes of every file of a checkpoint, its mark left out."""
    return {file.relative_to(path).as_posix(): file.stat().st_size
            for file in sorted(path.rglob("*")) if file.is_file() and file.name != COMPLETE}


def _is_complete(path: Path) -> bool:
    """Whether every file of the checkpoint has the size that it was written with."""
    try:
        promised = json.loads((path / COMPLETE).read_text(encoding="utf-8"))["files"]
        return bool(promised == checkpoint_files(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _new_folder(parent: Path, name: str | None, method: str) -> Path:
    if name is not None and name.strip():
        path = parent / safe_name(name)
        try:
            path.mkdir()
        except FileExistsError:
            raise RunError(f"There is already a run named {path.name}.",
                           "Choose another name, or resume that run.") from None
        return path
    base = time.strftime(f"{method}-%Y-%m-%d-%H%M")
    for number in range(1, 10_000):
        path = parent / (base if number == 1 else f"{base}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue
    raise RunError(f"No free name is left for {base}.", "Give the run a name of its own.")


def _created(path: Path) -> float | None:
    """When the run was made, seconds since 1970; None for a folder that is no run."""
    for name in (RECIPE_FILE, "events.jsonl"):
        try:
            return (path / name).stat().st_mtime
        except OSError:
            continue
    return None


def _ends_with_newline(path: Path) -> bool:
    """True for an empty or missing file as well."""
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) == 0:
                return True
            file.seek(-1, 2)
            return file.read(1) == b"\n"
    except FileNotFoundError:
        return True


def _event(found: dict[str, Any]) -> dict[str, Any] | None:
    if "type" not in found:
        return None
    for key, spelling in found.get("not_finite", {}).items():
        found[key] = float(spelling)
    return found
