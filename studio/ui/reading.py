"""What follows from the recipe on the page: its model's shape, trainable count, memory.

Computed once per change and handed to every readout. A mistake in the recipe or a model that
cannot be found is a part of the reading, not an error: the person may be in the middle of typing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.errors import StudioError
from studio.recipe import Recipe, recipe_from_form
from studio.ui.studio import Studio

if TYPE_CHECKING:
    from studio.adapters.count import TrainableCount
    from studio.device import Device
    from studio.hardware.disk import DiskNeeds
    from studio.hardware.memory import Estimate
    from studio.models.shape import ModelShape


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
    disk: DiskNeeds | None = None
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
    from studio.hardware.calibration import calibrated
    from studio.hardware.disk import disk_needs
    from studio.hardware.memory import estimate
    from studio.models.shape import model_shape
    from studio.models.source import is_on_this_pc

    model, device = recipe.model, calibrated(pick_device(), studio.settings)
    shape = model_shape(model.source, studio.settings, revision=model.revision,
                        trust_remote_code=model.trust_remote_code)
    free_bytes = free_device_bytes(device)
    is_here, count = is_on_this_pc(model, studio.settings), count_trainable(recipe, shape)
    return Reading(
        recipe, shape, count,
        estimate(recipe, shape, device, free_bytes=free_bytes), device, free_bytes,
        is_here, disk_needs(recipe, shape, studio.settings, is_here=is_here, count=count),
    )
