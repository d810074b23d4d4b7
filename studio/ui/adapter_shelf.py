"""All that was trained or blended and can answer: runs, their checkpoints, and blends.

Reads small files, each once until it changes, so that a page may ask at every tick. What can be
chosen for which base is the business of the tabs.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from studio.adapters.blend import list_blends
from studio.adapters.blend.saved import BLEND_FILE
from studio.adapters.folder import CONFIG_FILE, is_full_model, read_adapter_folder
from studio.errors import ModelError
from studio.recipe import Model, Recipe
from studio.runs import Run, checkpoint_step
from studio.ui.shelf import changed

if TYPE_CHECKING:
    from studio.adapters.blend import Blend
    from studio.settings import Settings
    from studio.ui.shelf import RunShelf

Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Trained:
    """A run with saved weights. `recipe` is the one it ran with, `title` the person's own.

    `path` is its result, there if `is_finished`; `checkpoints` are oldest first.
    """

    name: str
    path: Path
    recipe: Recipe
    title: str = ""
    checkpoints: tuple[Path, ...] = ()
    is_finished: bool = True

    @property
    def is_whole_model(self) -> bool:
        """True where every weight was trained, so that there is no adapter."""
        return self.recipe.adapter.trains_base


class AdapterShelf:
    """Runs with weights and blends of one home, shared by all pages."""

    def __init__(self, settings: Settings, runs: RunShelf) -> None:
        self._settings = settings
        self._runs = runs
        self._lock = threading.Lock()
        self._trained: dict[Run, tuple[Stamp, Trained | None]] = {}
        self._blends: tuple[Stamp, list[Blend]] = ((), [])

    def trained(self) -> list[Trained]:
        """Runs with weights that write answers, newest first. One with a damaged recipe is left
        out."""
        with self._lock:
            kept, found = self._trained, {}
            for run in self._runs.runs():
                stamp = (changed(run.path), changed(run.checkpoint_path))
                found[run] = (kept[run] if run in kept and kept[run][0] == stamp
                              else (stamp, trained_of(run)))
            self._trained = found
            return [one for _, one in found.values() if one is not None]

    def blends(self) -> list[Blend]:
        """Blends whose base is known, newest first. A damaged one is left out."""
        with self._lock:
            folder = self._settings.adapters
            files = sorted(folder.glob(f"*/{BLEND_FILE}")) if folder.is_dir() else []
            stamp = (changed(folder), *(changed(file) for file in files))
            if self._blends[0] != stamp:
                known = (_with_base(blend) for blend in list_blends(self._settings))
                self._blends = (stamp, [blend for blend in known if blend is not None])
            return list(self._blends[1])


def trained_of(run: Run) -> Trained | None:
    """What `run` saved, or None where that is nothing that writes answers."""
    recipe = run.readable_recipe
    if recipe is None or recipe.training.method == "reward":
        return None
    is_usable = is_full_model if recipe.adapter.trains_base else _has_adapter
    checkpoints = tuple(path for path in run.checkpoints() if is_usable(path))
    if not run.has_adapter and not checkpoints:
        return None
    return Trained(run.name, run.adapter_path, recipe, run.about.title, checkpoints,
                   run.has_adapter)


class _InFolder(Protocol):
    @property
    def path(self) -> Path: ...


Choice = TypeVar("Choice", bound=_InFolder)


def first_unasked(choices: Iterable[Choice]) -> Choice | None:
    """The first that a page may choose by itself. No checkpoint: it would stay chosen when the run
    that trains is done."""
    return next((one for one in choices if checkpoint_step(one.path) < 0), None)


def _has_adapter(checkpoint: Path) -> bool:
    return (checkpoint / CONFIG_FILE).is_file()


def _with_base(blend: Blend) -> Blend | None:
    """`blend` with the base that its weights name where no run told one."""
    if blend.trouble or blend.model is not None:
        return None if blend.trouble else blend
    try:
        base = read_adapter_folder(blend.path).base_name
    except ModelError:
        return None
    return dataclasses.replace(blend, model=Model(source=base)) if base else None
