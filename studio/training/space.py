"""Disk space that a run will take, looked at before anything is loaded.

Counts what the run writes into its folder: checkpoints and the result. Downloads are looked at
where they begin, exports where they are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.files import folder_bytes, free_bytes, readable_bytes, require_free_bytes
from studio.hardware.disk import disk_needs
from studio.recipe import Recipe
from studio.runs import Run
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

_OF_A_RUN = ("checkpoints", "start", "adapter", "result")


def run_bytes(recipe: Recipe, shape: ModelShape, settings: Settings) -> int:
    """What checkpoints, a start that is kept, and the result take at most, in bytes."""
    needs = disk_needs(recipe, shape, settings, is_here=True)
    return sum(part.bytes for part in needs.parts if part.name in _OF_A_RUN)


def foresee_space(recipe: Recipe, shape: ModelShape, run: Run, settings: Settings) -> None:
    """Raise DiskError where the run cannot finish for want of room; warn in it where it is tight.

    Checkpoints that are there already are replaced, and count as room.
    """
    there = folder_bytes(run.checkpoint_path) if run.checkpoint_path.is_dir() else 0
    needed = max(0, run_bytes(recipe, shape, settings) - there)
    require_free_bytes(run.path, needed, "This run, with its checkpoints and the result,")
    free = free_bytes(run.path)
    if free < 2 * needed:
        run.append("note", level="warning", text=(
            f"Disk space is tight: the run writes about {readable_bytes(needed)}, and "
            f"{readable_bytes(free)} are free at {run.path}. Fewer checkpoints "
            "(training.save_total_limit) take less."))
