"""The one training function: from a recipe to a saved adapter, every step of it in the run folder.

Knows nothing of threads, pages, or the command line. Stop is asked between all stages, inside
downloads and tokenising, and after every micro-batch; what was learned until then is kept.
"""

from __future__ import annotations

from studio.device import pick_device, release_memory
from studio.errors import Stopped
from studio.recipe import Recipe
from studio.runs import Run
from studio.settings import Settings
from studio.training.checkpoints import require_resumable
from studio.training.failure import RecordedFailures
from studio.training.reporter import StateReporter
from studio.training.stages import Stages, Stop


def train(
    recipe: Recipe, run: Run, stop: Stop, *, settings: Settings, resume: bool = False
) -> str:
    """Train and save; gives the final state, "done" or "stopped".

    With `resume` it goes on from the newest complete checkpoint, or from the start where there
    is none. Raises StudioError after the error is in the run's events.
    """
    if resume:
        require_resumable(run)
    with run.owned():
        states = StateReporter(run)
        with RecordedFailures(run, states):
            try:
                return Stages(recipe, run, stop, settings, states).go(resume)
            except Stopped:
                states.enter("stopped", "Stopped before training began.")
                return "stopped"
            finally:
                release_memory(pick_device())
