"""The one training function: from a recipe to a saved adapter, every step of it in the run folder.

Knows nothing of threads, pages, or the command line. Whether to end is asked between all stages,
inside downloads, tokenising and loading, and after every micro-batch.
"""

from __future__ import annotations

from studio.device import pick_device, release_memory
from studio.errors import Stopped
from studio.recipe import Recipe
from studio.runs import Run, require_run_folder
from studio.settings import Settings
from studio.training.awake import kept_awake
from studio.training.checkpoints import require_resumable
from studio.training.control import Control, forget_request, what_is_asked
from studio.training.ending import Ending, ending_before_training, forget_learned
from studio.training.failure import RecordedFailures
from studio.training.neighbours import MakeRoom, nobody_leaves
from studio.training.recovery import effective_recipe
from studio.training.reporter import StateReporter
from studio.training.shelf import Shelf
from studio.training.stages import Stages, Stop


def train(
    recipe: Recipe, run: Run, stop: Stop, *, settings: Settings, resume: bool = False,
    shelf: Shelf | None = None, make_room: MakeRoom = nobody_leaves,
) -> str:
    """Train and save; gives the final state: "done", "paused", "stopped" or "cancelled".

    `stop` is a `Control`, or any callable whose True means stop and keep. With `resume` it goes on
    from the newest complete checkpoint, or from the start where there is none. A `shelf` may have
    the base model from the run before and keeps it for the next one. Where memory runs out,
    `make_room` is asked before the run gives anything up. Raises StudioError after the error is in
    the run's events.
    """
    require_run_folder(run)
    if resume:
        require_resumable(run)
    control = stop if isinstance(stop, Control) else Control(stop)
    with run.owned():
        if control is not stop:
            forget_request(run)
        states = StateReporter(run)
        with RecordedFailures(run, states):
            states.enter("preparing")
            recipe = effective_recipe(run, recipe)
            with control.attending(run):
                ending = _ending(Stages(recipe, run, control, settings, states, shelf,
                                        make_room), resume)
            if ending.state == "cancelled":
                forget_learned(run)
            # Only now, so that a page that reads it finds the memory free.
            states.enter(ending.state, ending.detail)
            return ending.state


def _ending(stages: Stages, resume: bool) -> Ending:
    try:
        with kept_awake(stages.run, stages.recipe.monitor.keep_awake):
            return stages.go(resume)
    except Stopped:
        return ending_before_training(what_is_asked(stages.stop), stages.run)
    finally:
        release_memory(pick_device())
