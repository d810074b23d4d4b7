"""A stretch of training: from a checkpoint, or the start, to the end or to where memory ran out.

Makes the trainer, lets it train, and saves what it learned. Nothing is loaded here, and what
follows on memory that ran out is `recovery.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.allocator import freed_memory_kept
from studio.device import Device, release_memory
from studio.errors import Stopped
from studio.recipe import Recipe
from studio.runs import Run
from studio.settings import Settings
from studio.training.best import choose_weights
from studio.training.checkpoints import keep_checkpoint
from studio.training.control import what_is_asked
from studio.training.ending import Ending, ending_after, keeps_result
from studio.training.health.beginning import require_trainable
from studio.training.observer import Live, Observers, observers_for
from studio.training.out_of_memory import memory_lasts
from studio.training.recovery import RanOut, ran_out
from studio.training.reporter import StateReporter, TrainReporter
from studio.training.setup import Base, Setup, forward_kept, make_setup
from studio.training.speed.holes import holes_given_back
from studio.training.untrained import untrained_of

if TYPE_CHECKING:
    from studio.data.prepare import Prepared


@dataclass(frozen=True)
class Stretch:
    """One attempt with one recipe."""

    recipe: Recipe
    run: Run
    stop: Callable[[], bool]
    settings: Settings
    states: StateReporter
    start_file: Path
    """Where a start that changes the base is kept."""

    def go(
        self, base: Base, data: Prepared, device: Device, checkpoint: Path | None
    ) -> Ending | RanOut:
        """Train until the run ends or memory runs out. Raises Stopped before the first step."""
        plan = self.run.story().plan
        setup, choices = make_setup(
            self.recipe, base, data, device, self.settings,
            grouped_before=plan.get("grouped", False) if plan else None)
        observers = observers_for(self.recipe)
        begin = str(checkpoint) if checkpoint else None
        try:
            release_memory(device)  # what loading left behind
            with forward_kept(base.model), memory_held(base.model, setup):
                trainer = self._trainer(base, data, setup, choices, observers)
                if self.stop():
                    raise Stopped("Stopped before training began.")
                if memory_lasts(lambda: trainer.train(resume_from_checkpoint=begin)):
                    return self._save(trainer, base)
                return ran_out(trainer, checkpoint, is_checkpointing=setup.checkpointing)
        finally:
            observers.close()

    def _trainer(
        self, base: Base, data: Prepared, setup: Setup, choices: list[str], observers: Observers
    ) -> Any:
        from studio.training.trainers import make_trainer

        trainable = require_trainable(base.model)
        limit = self.recipe.training.save_total_limit
        live = Live(self.recipe, self.run, self.settings, setup.device, base.precision, base.model,
                    base.tokenizer, data, self.stop, self.states.progress,
                    settle=self.states.settle,
                    untrained=untrained_of(self.recipe, base.model, base.folder, base.precision,
                                           setup.device, self.settings))
        reporter = TrainReporter(
            self.run, self.states, self.stop,
            plan={"train_examples": len(data.train),
                  "eval_examples": len(data.eval) if data.eval is not None else 0,
                  "trainable": trainable, "device": setup.device.name,
                  "dtype": base.precision.base_dtype, "choices": choices,
                  "checkpointing": setup.checkpointing,
                  "grouped": setup.lengths is not None},
            keep_checkpoint=lambda step: keep_checkpoint(self.run, step, limit),
            live=live, observers=observers,
        )
        return make_trainer(self.recipe, self.run, setup, reporter)

    def _save(self, trainer: Any, base: Base) -> Ending:
        from studio.training.result import save_result

        step, total = trainer.state.global_step, trainer.state.max_steps
        if step == 0:
            raise Stopped("Stopped before training began.")
        reason, is_fault = trainer.reporter.finish_reason, trainer.reporter.live.is_fault
        asked = what_is_asked(self.stop)
        if not keeps_result(asked, step, total, is_finished=bool(reason)):
            return ending_after(asked, step, total)
        self.states.enter("saving")
        if choose_weights(trainer) is not None:
            save_result(trainer.model, base.tokenizer, base.folder, self.run.adapter_path,
                        start=self.start_file)
        asked = what_is_asked(self.stop)
        if reason and asked != "cancel":
            return Ending("stopped" if is_fault else "done", reason)
        return ending_after(asked, step, total)


@contextmanager
def memory_held(model: Any, setup: Setup) -> Iterator[None]:
    """Inside the block, what a step frees is held for the next one, less the holes within a step.

    On CPUs only: GPUs have an allocator of their own. Compiled layers take no hooks.
    """
    if setup.device.kind != "cpu":
        yield
        return
    with freed_memory_kept():
        if setup.layers.compiles:
            yield
            return
        with holes_given_back(model):
            yield
