"""What is to be merged: which adapter, onto which base, and what it is called.

Understands a run folder, the adapter or a checkpoint inside one, and any folder that PEFT saved.
Reads small files only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio.adapters.folder import CONFIG_FILE, is_full_model, is_judge
from studio.adapters.trained_on import trained_on
from studio.errors import ExportError
from studio.files import typed_path
from studio.recipe import Model, load_recipe
from studio.runs import RECIPE_FILE, Run, run_folder_around
from studio.settings import Settings


@dataclass(frozen=True)
class Origin:
    """`path` holds the adapter, or the whole model where `is_full_model`; `model` is its base.

    `makes_up_for_rounding`: the adapter began at what rounding the base to 4 bits took (LoftQ), so
    it belongs to the rounded weights.
    """

    name: str
    path: Path
    model: Model
    is_full_model: bool
    makes_up_for_rounding: bool = False

    @property
    def run(self) -> Run | None:
        """The run that made it; None for a folder that belongs to none."""
        folder = run_folder_around(self.path)
        return None if folder is None else Run(folder)

    @property
    def base_to_show(self) -> str:
        """The base as it may be written into a file that is passed on: no path of this PC."""
        folder = typed_path(self.model.source)
        return folder.name if folder.is_dir() or folder.is_absolute() else self.model.source


def find_origin(given: Path) -> Origin:
    """The origin at `given`. Raises ExportError or ModelError where there is none."""
    given = typed_path(given).absolute()
    run = run_folder_around(given)
    path = given / "adapter" if run == given else given
    if not (path / CONFIG_FILE).exists() and not is_full_model(path):
        if run is not None:
            raise ExportError(f"The run {run.name} has no finished adapter.",
                              "Train it to its end, or stop it on the Train tab: that saves one.")
        raise ExportError(f"{given} is neither a run nor an adapter folder.",
                          f"Choose a finished run, or a folder with {CONFIG_FILE}.")
    name = run.name if run is not None else path.name
    if is_judge(path):
        raise ExportError(f"{name} is a reward model: it judges answers and writes none, so there "
                          "is nothing to merge or convert.",
                          f"Its folder {path} can be passed on as it is.")
    full = is_full_model(path)
    if full:
        model = Model(source=str(path)) if run is None else load_recipe(run / RECIPE_FILE).model
        return Origin(name, path, model, True)
    base = trained_on(path)
    return Origin(name, path, base.model, False, base.makes_up_for_rounding)


def default_merge_folder(settings: Settings, name: str) -> Path:
    """Where the merge of the run or adapter `name` goes unless somebody says otherwise."""
    return settings.exports / f"{name}-merged"
