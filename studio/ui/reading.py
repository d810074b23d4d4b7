"""What follows from the recipe on the page: its model's shape, trainable count, memory.

Computed once per change and handed to every readout. A mistake in the recipe or a model that
cannot be found is a part of the reading, not an error: the person may be in the middle of typing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError, StudioError
from studio.recipe import Recipe, recipe_from_form
from studio.ui.studio import Studio

if TYPE_CHECKING:
    from studio.adapters.count import TrainableCount
    from studio.device import Device
    from studio.hardware.memory import Estimate
    from studio.models.folder import ModelFolder
    from studio.models.shape import ModelShape
    from studio.recipe import Model
    from studio.settings import Settings


@dataclass(frozen=True)
class Reading:
    """Either a `problem`, or everything else."""

    recipe: Recipe | None = None
    shape: ModelShape | None = None
    count: TrainableCount | None = None
    estimate: Estimate | None = None
    device: Device | None = None
    free_bytes: int = 0
    model_is_here: bool = False
    problem: StudioError | None = None


def read(studio: Studio, form: dict[str, Any]) -> Reading:
    """The reading of what a form holds. Waits for the engine's libraries the first time."""
    try:
        return read_recipe(studio, recipe_from_form(form))
    except StudioError as problem:
        return Reading(problem=problem)


def read_recipe(studio: Studio, recipe: Recipe) -> Reading:
    """The reading of `recipe`. Raises StudioError where the model's shape cannot be had."""
    studio.warm_up()
    from studio.adapters.count import count_trainable
    from studio.device import free_device_bytes, pick_device
    from studio.hardware.memory import estimate
    from studio.models.shape import model_shape

    model, device = recipe.model, pick_device()
    shape = model_shape(model.source, studio.settings, revision=model.revision,
                        trust_remote_code=model.trust_remote_code)
    free_bytes = free_device_bytes(device)
    return Reading(
        recipe, shape, count_trainable(recipe, shape),
        estimate(recipe, shape, device, free_bytes=free_bytes), device, free_bytes,
        folder_here(model, studio.settings) is not None,
    )


def folder_here(model: Model, settings: Settings) -> ModelFolder | None:
    """The model's folder if it is on this PC, without asking the network."""
    from studio.models.source import find_model

    try:
        return find_model(model.source, dataclasses.replace(settings, offline=True),
                          revision=model.revision, trust_remote_code=model.trust_remote_code)
    except ModelError:
        return None
