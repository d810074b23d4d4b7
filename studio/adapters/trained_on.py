"""Which base an adapter folder was trained on, as its run, its blend, or its own settings tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio.adapters.blend import read_blend
from studio.adapters.folder import CONFIG_FILE, read_adapter_folder
from studio.errors import ModelError
from studio.recipe import Model, load_recipe
from studio.runs import RECIPE_FILE, run_folder_around


@dataclass(frozen=True)
class TrainedOn:
    """`makes_up_for_rounding`: the adapter began at what rounding the base to 4 bits took (LoftQ),
    so it belongs to the rounded weights."""

    model: Model
    makes_up_for_rounding: bool = False


def trained_on(path: Path) -> TrainedOn:
    """Of the adapter in the folder `path`. Raises ModelError for one that does not say it,
    RecipeError for a run's damaged recipe."""
    run = run_folder_around(path)
    if run is not None:
        recipe = load_recipe(run / RECIPE_FILE)
        return TrainedOn(recipe.model, recipe.adapter.makes_up_for_rounding)
    blend = read_blend(path)
    if blend is not None and blend.model is not None:
        return TrainedOn(blend.model)
    adapter = read_adapter_folder(path)
    if not adapter.base_name:
        raise ModelError(f"The adapter {path} does not say which base it was trained on.",
                         f"Write base_model_name_or_path into its {CONFIG_FILE}.")
    return TrainedOn(Model(source=adapter.base_name, revision=adapter.config.get("revision")))
