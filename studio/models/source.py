"""From what a recipe says (`starter`, a Hub id, a folder) to a checked model folder on this PC.

Decides which of the three is meant and hands over; loads nothing.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from studio.errors import ModelError
from studio.files import typed_path
from studio.models.folder import ModelFolder, check_model_folder
from studio.models.hub import fetch_model, is_hub_id
from studio.models.starter import STARTER_NAME, prepare_starter
from studio.progress import Progress, ShouldStop, never, silent
from studio.recipe.base import STARTER
from studio.recipe.model import Model
from studio.settings import Settings

__all__ = ["ModelFolder", "find_model", "find_on_this_pc", "is_on_this_pc", "local_folder"]

_MOST_SHOWN = 200
"""Characters of what was typed, in a sentence."""
_PATH_LIKE = re.compile(r"^([~./\\]|[A-Za-z]:)|\\|/.*/|/$")


def find_model(
    source: str, settings: Settings, *, revision: str | None = None,
    trust_remote_code: bool = False, progress: Progress = silent, stop: ShouldStop = never,
) -> ModelFolder:
    """The model `source` as a folder, fetched if need be.

    Raises ModelError (missing, unsafe, gated, offline), DiskError (no room), Stopped.
    """
    if source == STARTER:
        return ModelFolder(prepare_starter(settings, progress, stop), STARTER_NAME, STARTER)
    folder = local_folder(source)
    if folder is not None:
        check_model_folder(folder, trust_remote_code=trust_remote_code)
        return ModelFolder(folder, folder.name, source)
    return fetch_model(source, settings, revision=revision, progress=progress, stop=stop,
                       trust_remote_code=trust_remote_code)


def find_on_this_pc(model: Model, settings: Settings) -> ModelFolder | None:
    """The folder of a recipe's model if it is on this PC, without asking the network."""
    try:
        return find_model(model.source, dataclasses.replace(settings, offline=True),
                          revision=model.revision, trust_remote_code=model.trust_remote_code)
    except ModelError:
        return None


def is_on_this_pc(model: Model, settings: Settings) -> bool:
    """Whether a recipe's model can be used without fetching anything."""
    return find_on_this_pc(model, settings) is not None


def local_folder(source: str) -> Path | None:
    """The folder that `source` names, or None where it is a Hub id.

    An existing folder wins over a Hub id of the same spelling. What starts like a path (`/`,
    `.`, `~`, a drive) or has more than two parts is never looked up on the Hub.
    Raises ModelError for a path without a folder behind it.
    """
    path = typed_path(source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name that nothing can have, such as a whole text
        raise _no_folder(source) from error
    if is_folder:
        return path.absolute()
    if is_file:
        raise ModelError(
            f"{source} is a file, not a model folder.",
            "Choose the folder that holds config.json and *.safetensors.",
        )
    if _PATH_LIKE.search(source) or not is_hub_id(source):
        raise _no_folder(source)
    return None


def _no_folder(source: str) -> ModelError:
    shown = source if len(source) <= _MOST_SHOWN else f"{source[:_MOST_SHOWN]}..."
    return ModelError(
        f"There is no model folder {shown}.",
        "Check the path, give a Hub id such as Qwen/Qwen3-0.6B, or take the starter model.")
