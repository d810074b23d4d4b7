"""The models that are to be merged: found by what a person calls them, and refused where they are
no whole models. Reads configurations and headers, no weights, and fetches none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from studio.adapters.folder import CONFIG_FILE, is_judge
from studio.errors import ExportError, ModelError
from studio.export.stored import StoredWeights, stored_weights
from studio.export.whole_model import require_whole_model
from studio.files import free_path, typed_path
from studio.models.folder import INDEX_FILE, check_model_folder, read_config
from studio.models.source import find_on_this_pc, local_folder
from studio.models.starter import STARTER_NAME
from studio.recipe import Model
from studio.recipe.base import STARTER
from studio.runs import checkpoint_step, run_folder_around

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studio.export.model_merge.methods import Mix
    from studio.models.shape import ModelShape
    from studio.settings import Settings

WHOLE_FILE = "model.safetensors"
USUAL_NAME = "merged-models"
_MERGE_FIRST = ("Merge it into its base first (Transformers folder on the Export tab, or "
                "launch.py merge), or mix adapters with one another: Blend on the Chat tab.")


@dataclass(frozen=True)
class Part:
    """What a person asks for: `starter`, a folder, an export's or run's name, or a Hub id; how much
    of it; and for pruning methods the share of its changes to keep, None for the usual one."""

    source: str
    weight: float = 1.0
    density: float | None = None


@dataclass(frozen=True)
class Wish:
    """What is to be merged, how, and what it shall be called; empty: a name that is free."""

    parts: Sequence[Part]
    mix: Mix
    name: str = ""


@dataclass(frozen=True)
class Given:
    """A part that was looked at. `folder` is None while the model is not on this PC."""

    name: str
    source: str
    weight: float
    density: float | None
    shape: ModelShape
    folder: Path | None

    @cached_property
    def stored(self) -> StoredWeights | None:
        """What lies in its files; None while it is not on this PC. Raises ExportError for rounded
        weights."""
        return None if self.folder is None else stored_weights(self.folder)

    @property
    def dtype_name(self) -> str:
        """The number format of most of its weights."""
        return self.stored.dtype_name if self.stored else self.shape.dtype_name

    @property
    def reference(self) -> str:
        """What mergekit is told: its folder, or the Hub id where it has to be fetched first."""
        return str(self.folder) if self.folder is not None else self.source

    @property
    def shared_reference(self) -> str:
        """What a stranger is told: a Hub id, or the name of a folder; no path of this PC."""
        return self.name if self.source == STARTER or Path(self.source).is_absolute() \
            else self.source


def whole_model_source(given: str, settings: Settings) -> str:
    """The source of what a person called a model: the name of an export or of a run that trained
    every weight becomes its folder. Raises ModelError for an empty one, and for an adapter."""
    given = given.strip()
    if not given:
        raise ModelError("No model is named.", "Give starter, a folder, the name of an export, or "
                         "a Hub id such as Qwen/Qwen3-0.6B.")
    path = typed_path(given)
    if given == STARTER or path.is_dir():
        return given if given == STARTER else str(_result_in(path.absolute()))
    if Path(given).name == given and given not in (".", ".."):
        for folder in (settings.exports / given, settings.runs / given, settings.models / given):
            if folder.is_dir():
                return str(_result_in(folder))
    return given


def _result_in(folder: Path) -> Path:
    """What a run has made, for the folder of a run; any other folder as it is."""
    run = run_folder_around(folder)
    return folder / "adapter" if run == folder else folder


def read_part(part: Part, settings: Settings) -> Given:
    """A part, looked at. Imports transformers; of a model that is not on this PC config.json may be
    fetched. Raises ModelError or ExportError for what is no whole model that can be merged."""
    from studio.models.shape import model_shape

    source = whole_model_source(part.source, settings)
    folder = None if source == STARTER else local_folder(source)
    if folder is None:
        found = find_on_this_pc(Model(source=source), settings)
        folder = found.path if found else None
    if folder is not None:
        require_mergeable(folder, _called(source))
    given = Given(_called(source), source, part.weight, part.density,
                  model_shape(source, settings), folder)
    _ = given.stored
    return given


def _called(source: str) -> str:
    if source == STARTER:
        return STARTER_NAME
    path = Path(source)
    run = run_folder_around(path) if path.is_absolute() else None
    if run is None:
        return source.rstrip("/").split("/")[-1] if not path.is_absolute() else path.name
    return run.name if checkpoint_step(path) < 0 else f"{run.name}-{path.name}"


def require_mergeable(folder: Path, name: str) -> None:
    """Raise ModelError or ExportError unless `folder` is a whole model in safetensors files that
    mergekit finds, needs no code of its own, and writes answers."""
    if (folder / CONFIG_FILE).is_file():
        raise ModelError(f"{name} is an adapter, not a whole model.", _MERGE_FIRST)
    check_model_folder(folder)
    require_whole_model(folder)
    if is_judge(folder):
        raise ExportError(f"{name} is a reward model: it judges answers and writes none.",
                          "Choose models that answer.")
    _require_known_files(folder, name)


def _require_known_files(folder: Path, name: str) -> None:
    """mergekit looks for these two names alone, and for pickles where they are missing."""
    index = folder / INDEX_FILE
    if not index.is_file():
        if not (folder / WHOLE_FILE).is_file():
            raise ExportError(f"The weights of {name} lie neither in {WHOLE_FILE} nor in files "
                              f"that {INDEX_FILE} lists, so mergekit does not find them.",
                              "Load the model with Transformers and save it anew.")
        return
    for shard in read_config(index).get("weight_map", {}).values():
        if Path(str(shard)).name != shard or not str(shard).endswith(".safetensors"):
            raise ExportError(f"{INDEX_FILE} of {name} names {shard!r}, which is no safetensors "
                              "file beside it.", "Fetch the model again.")


def usual_name(settings: Settings) -> str:
    """What a merge is called where nobody says otherwise: the first name that is free."""
    return free_path(settings.exports, USUAL_NAME, "").name
