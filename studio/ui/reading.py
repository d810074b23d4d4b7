"""What follows from the recipe on the page: its model's shape, trainable count, memory.

Computed once per change and handed to every readout. A mistake in the recipe or a model that
cannot be found is a part of the reading, not an error: the person may be in the middle of typing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from studio.errors import StudioError
from studio.hardware.workload import UNKNOWN, Examples
from studio.recipe import Recipe, recipe_from_form
from studio.ui.studio import Studio

if TYPE_CHECKING:
    from studio.adapters.count import TrainableCount
    from studio.device import Device
    from studio.hardware.cards import Place
    from studio.hardware.disk import DiskNeeds
    from studio.hardware.free_now import FreeNow
    from studio.hardware.memory import Estimate
    from studio.models.shape import ModelShape


@dataclass(frozen=True)
class Reading:
    """Either a `problem`, or everything else.

    `estimate`, `device` and `free_bytes` are of this PC, which is what trains; `planned` is the
    estimate for `place`, which the person chose to plan for.
    """

    recipe: Recipe | None = None
    shape: ModelShape | None = None
    count: TrainableCount | None = None
    estimate: Estimate | None = None
    device: Device | None = None
    free_bytes: int = 0
    model_is_here: bool = False
    disk: DiskNeeds | None = None
    place: Place | None = None
    planned: Estimate | None = None
    free: FreeNow | None = None
    examples: Examples = UNKNOWN
    problem: StudioError | None = None
    form: Mapping[str, Any] = field(default_factory=dict)
    """What the form holds, also where that is no recipe."""


def read(studio: Studio, form: dict[str, Any], place: str = "") -> Reading:
    """The reading of what a form holds, planned for `place` (a card's name; empty is this PC).

    Waits for the engine's libraries the first time.
    """
    try:
        return replace(read_recipe(studio, recipe_from_form(form), place), form=form)
    except StudioError as problem:
        return Reading(problem=problem, form=form)


def read_recipe(studio: Studio, recipe: Recipe, place: str = "") -> Reading:
    """The reading of `recipe`. Raises StudioError where the model's shape cannot be had."""
    studio.warm_up()
    from studio.adapters.count import count_trainable
    from studio.hardware.cards import find_place, this_pc
    from studio.hardware.disk import disk_needs
    from studio.hardware.memory import estimate
    from studio.models.shape import model_shape
    from studio.models.source import is_on_this_pc

    model, chosen = recipe.model, find_place(studio.settings, place)
    here = chosen if chosen.is_this_pc else this_pc(studio.settings)
    shape = model_shape(model.source, studio.settings, revision=model.revision,
                        trust_remote_code=model.trust_remote_code)
    is_here, count = is_on_this_pc(model, studio.settings), count_trainable(recipe, shape)
    examples = studio.data.sizes(recipe) or UNKNOWN
    found = {where: estimate(recipe, shape, where.device, free_bytes=where.free_bytes,
                             examples=examples)
             for where in {here, chosen}}
    return Reading(
        recipe, shape, count, found[here], here.device, here.free_bytes, is_here,
        disk_needs(recipe, shape, studio.settings, is_here=is_here, count=count),
        chosen, found[chosen], studio.free.now(here.device, here.free_bytes),
        examples,
    )
