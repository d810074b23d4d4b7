"""How a run ends: the state it is in afterwards, and what is kept of what it learned."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from studio.runs import Run
from studio.training.control import Ask
from studio.training.start_values import START_FILE


@dataclass(frozen=True)
class Ending:
    """The final state of a run, and a sentence; an empty one says what the state always says."""

    state: str
    detail: str = ""


def ending_before_training(asked: Ask, run: Run) -> Ending:
    """Of a run that was asked to end before its first new step."""
    if asked == "cancel":
        return Ending("cancelled")
    if asked == "pause":
        return Ending("paused")
    return Ending("stopped", "Stopped before training went on; its checkpoint is kept."
                  if run.checkpoints() else "Stopped before training began.")


def keeps_result(asked: Ask, step: int, total_steps: int, *, is_finished: bool = False) -> bool:
    """Whether the adapter is saved: not when cancelled, nor when paused on the way.

    A pause after the last step, or of a run that was ended early (`is_finished`), has nothing
    left to go on with: the run is brought to its end.
    """
    return asked != "cancel" and (asked != "pause" or step >= total_steps or is_finished)


def ending_after(asked: Ask, step: int, total_steps: int) -> Ending:
    """Of a run that was asked to end after `step`."""
    if asked == "cancel":
        return Ending("cancelled")
    if step >= total_steps:
        return Ending("done")
    if asked == "pause":
        return Ending("paused", f"Paused after step {step} of {total_steps}; the memory is free, "
                      "and Resume goes on from here.")
    return Ending("stopped",
                  f"Stopped after step {step} of {total_steps}; what was learned is kept.")


def forget_learned(run: Run) -> None:
    """Delete checkpoints and adapter; the recipe and the story of the run stay."""
    (run.path / START_FILE).unlink(missing_ok=True)
    for path in (run.checkpoint_path, run.adapter_path):
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            run.append("note", level="warning", text=f"{path} could not be deleted; delete it by "
                       "hand once no other program has it open.")
