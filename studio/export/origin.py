"""What is to be merged: which adapter, onto which base, and what it is called.

Understands a run folder, the adapter or a checkpoint inside one, and any folder that PEFT saved.
Reads small files only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio.adapters.blend import read_blend
from studio.adapters.folder import CONFIG_FILE, is_full_model, is_judge, read_adapter_folder
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
    if run is None:
        return Origin(name, path, _recorded_base(path, full), full)
    recipe = load_recipe(run / RECIPE_FILE)
    is_rounded = recipe.adapter.method == "lora" and recipe.adapter.init == "loftq"
    return Origin(name, path, recipe.model, full, is_rounded)


def default_merge_folder(settings: Settings, name: str) -> Path:
    """Where the merge of the run or adapter `name` goes unless somebody says otherwise."""
    return settings.exports / f"{name}-merged"


def _recorded_base(path: Path, full: bool) -> Model:
    if full:
        return Model(source=str(path))
    blend = read_blend(path)
    if blend is not None and blend.model is not None:
        return blend.model
    adapter = read_adapter_folder(path)
    if not adapter.base_name:
        raise ExportError(f"The adapter {path} does not say which base it was trained on.",
                          f"Write base_model_name_or_path into its {CONFIG_FILE}.")
    return Model(source=adapter.base_name, revision=adapter.config.get("revision"))
