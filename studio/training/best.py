"""The best evaluation: early stopping counts from it, and its weights may be the result.

Best is the lowest held-out loss, the first of equals. The checkpoint of that step is written by the
trainer right after the evaluation, and kept by `checkpoints.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from studio.recipe.method_words import method_words
from studio.runs import Run, checkpoint_step
from studio.training.observer import Live, Observer


def is_best_so_far(run: Run, step: int) -> bool:
    """True if the evaluation at `step` has the lowest held-out loss of the run."""
    best = run.story().best
    return best is not None and best[0] == step


def evaluations_since_best(losses: Sequence[float], min_change: float) -> int:
    """How many of the last evaluations were not lower than the best before by over `min_change`."""
    best, since = math.inf, 0
    for loss in losses:
        if loss < best - min_change or (math.isinf(best) and math.isfinite(loss)):
            best, since = loss, 0
        else:
            since += 1
    return since


class BestEvaluation(Observer):
    """Ends a run after `training.early_stopping_patience` evaluations that are not better."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._losses: list[float] = []

    def begin(self, live: Live) -> None:
        self._live = live
        self._losses = [loss for _, loss in live.run.story().evals]

    def evaluated(self, step: int, loss: float) -> None:
        assert self._live is not None
        self._losses.append(loss)
        wanted = self._live.recipe.training
        since = evaluations_since_best(self._losses, wanted.early_stopping_min_change)
        if 0 < wanted.early_stopping_patience <= since and step < self._live.total_steps:
            best = self._live.run.story().best
            name, sign = _measured(self._live)
            where = f"; the best was {sign * best[1]:.4f} after step {best[0]}" if best else ""
            self._live.finish(f"Ended early after step {step}: the held-out {name} was not better "
                              f"in {since} evaluations{where}.")


def choose_weights(trainer: Any) -> int | None:
    """Put the weights that shall be the result into the trainer's model; gives their step.

    Those of the last step, unless the recipe wants the best or they are spoilt. None where nothing
    was learned that could be kept. The run is told.
    """
    live: Live = trainer.reporter.live
    last = trainer.state.global_step
    if live.is_spoilt:
        step, why = _load(trainer, live.run, last - 1), "the last good one"
    elif last == live.refused_step:
        step, why = last - 1, "the last that was applied"
    else:
        step, why = _best(trainer, live, last)
    if not step:
        return None
    text = "" if step == last else f"The result is of step {step}, {why}."
    live.run.append("result", step=step, text=text)
    return step


def _best(trainer: Any, live: Live, last: int) -> tuple[int, str]:
    best = live.run.story().best if live.recipe.training.keep == "best" else None
    if best is None or best[0] == last:
        return last, ""
    name, sign = _measured(live)
    if _load(trainer, live.run, best[0], exactly=True):
        return best[0], f"which has the best held-out {name} ({sign * best[1]:.4f})"
    live.run.append("note", level="warning", text=(
        f"There is no complete checkpoint of step {best[0]}, which has the best held-out {name}; "
        f"the result is of the last step, {last}."))
    return last, ""


def _measured(live: Live) -> tuple[str, int]:
    """What an evaluation measures, and 1; -1 where its loss is minus that."""
    is_rewarded = method_words(live.recipe.training.method).is_rewarded
    return ("reward", -1) if is_rewarded else ("loss", 1)


def _load(trainer: Any, run: Run, step: int, *, exactly: bool = False) -> int:
    """Load the weights of the newest checkpoint up to `step`, or of that very step; 0 for none."""
    found = [path for path in run.checkpoints()
             if checkpoint_step(path) == step or (not exactly and checkpoint_step(path) < step)]
    if not found:
        return 0
    trainer._load_from_checkpoint(str(found[-1]))
    return checkpoint_step(found[-1])
