"""What a training takes of the device's memory at most, for whoever wants to work beside it.

By the estimate that the person saw, at the recipe's longest example; once the run has told its
choices, by those. It is asked on other threads than the training's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.device import pick_device
from studio.errors import StudioError
from studio.models.source import is_on_this_pc
from studio.recipe import Recipe
from studio.settings import Settings
from studio.training.recovery import effective_recipe

if TYPE_CHECKING:
    from studio.runs import Run


class Footprint:
    """Call it for the bytes, what the training holds already included; None: it must be alone.

    It must where its base is not on this PC yet, and where `ran_out` was set since the estimate was
    proven wrong. `isolated`: it trains in a process of its own.
    """

    def __init__(self, recipe: Recipe, settings: Settings, *, isolated: bool) -> None:
        self._recipe = recipe
        self._settings = settings
        self._isolated = isolated
        self._known: int | None = None
        self.run: Run | None = None
        self.ran_out = False

    def __call__(self) -> int | None:
        """The peak, at the high end of the estimate."""
        if self.ran_out:
            return None
        if self._known is None:
            try:
                plan = self.run.story().plan if self.run is not None else {}
                found = self._estimate(plan)
            except StudioError:
                return None  # the run says itself what is wrong with its recipe or its folder
            if not plan:
                return found
            self._known = found
        return self._known

    def _estimate(self, plan: dict[str, object]) -> int | None:
        from studio.hardware.calibration import calibrated
        from studio.hardware.memory import estimate
        from studio.hardware.room import room_bytes
        from studio.models.shape import model_shape

        wanted = self._recipe.model
        device = calibrated(pick_device(), self._settings)
        # Of the GPU memory of other processes the driver does not tell everywhere.
        if (self._isolated and device.kind == "cuda") or not is_on_this_pc(wanted, self._settings):
            return None
        recipe = self._recipe if self.run is None else effective_recipe(self.run, self._recipe)
        if plan:
            recipe = recipe.with_values(
                {"training.gradient_checkpointing": bool(plan["checkpointing"])})
        shape = model_shape(wanted.source, self._settings, revision=wanted.revision,
                            trust_remote_code=wanted.trust_remote_code)
        return estimate(recipe, shape, device, free_bytes=room_bytes(device)).high_bytes
