"""The stages of a training, in order: find, tokenise, load, train, save.

Called by `loop.py`, and by a dry run for the first ones. Each stage asks for the stop before it
hands on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.limits import require_possible
from studio.allocator import keep_freed_memory
from studio.data.columns import longest
from studio.device import Device, free_device_bytes, pick_device, release_memory
from studio.errors import Stopped
from studio.hardware.calibration import calibrated
from studio.hardware.precision import choose_precision
from studio.recipe import Model, Recipe
from studio.runs import Run, checkpoint_step
from studio.settings import Settings
from studio.training.best import choose_weights
from studio.training.checkpoints import (
    keep_checkpoint,
    newest_good_checkpoint,
    tidy_checkpoints,
)
from studio.training.choices import compare_with_free
from studio.training.control import what_is_asked
from studio.training.ending import Ending, ending_after, keeps_result
from studio.training.environment import record_environment
from studio.training.health.beginning import require_trainable
from studio.training.libraries import load_libraries
from studio.training.observer import Live, Observers, observers_for
from studio.training.out_of_memory import memory_lasts
from studio.training.recovery import RanOut, StartWeights, adapted, ran_out
from studio.training.reporter import StateReporter, TrainReporter
from studio.training.scorers import require_scorer
from studio.training.setup import Base, Found, Setup, forward_kept, make_setup
from studio.training.shelf import BaseOfRun, Shelf, key_of
from studio.training.space import foresee_space
from studio.training.start_values import START_FILE, set_start
from studio.training.trackers import require_trackers
from studio.training.untrained import untrained_of

if TYPE_CHECKING:
    from studio.data.prepare import Prepared

Stop = Callable[[], bool]


@dataclass
class Stages:
    """One call of `train`; its methods are the stages, in order. A dry run takes the first ones."""

    recipe: Recipe
    run: Run
    stop: Stop
    settings: Settings
    states: StateReporter
    shelf: Shelf | None = None
    _kept: BaseOfRun | None = None

    def go(self, resume: bool) -> Ending:
        """All of them; the run is in the state "preparing" already."""
        require_trackers(self.recipe, self.settings)
        require_scorer(self.recipe.monitor)
        load_libraries()
        checkpoint = self._start_point(resume)
        device = calibrated(pick_device(), self.settings)
        found = self.find(device)
        foresee_space(self.recipe, found.shape, self.run, self.settings)
        # Data come first: a mistake in them is told before a large model was loaded for minutes.
        data = self.tokenise(found, device)
        base = self.load(found, device)
        ending = self._train(base, data, device, checkpoint)
        if self._kept is not None:
            self._kept.put_back()
        return ending

    def _start_point(self, resume: bool) -> Path | None:
        checkpoint, faults = newest_good_checkpoint(self.run) if resume else (None, [])
        for fault in faults:
            self.run.append("note", level="warning", text=fault)
        if checkpoint is not None:
            text = f"Going on from the checkpoint at step {checkpoint_step(checkpoint)}."
            self.run.append("note", level="info", text=text)
        elif resume:
            self.run.append("note", level="info", text="There is no complete checkpoint to go on "
                            "from, so the run starts again at step 0.")
        tidy_checkpoints(self.run, checkpoint_step(checkpoint) if checkpoint else -1)
        return checkpoint

    def find(self, device: Device) -> Found:
        """The base model's files, found or fetched, and its tokenizer.

        The run notes whether the estimate fits into what is free.
        """
        from studio.models.loading import load_tokenizer
        from studio.models.shape import model_shape
        from studio.models.source import find_model
        from studio.training.trainers import check_method

        check_method(self.recipe, self.settings)
        wanted: Model = self.recipe.model
        precision = choose_precision(self.recipe, device)
        folder = find_model(
            wanted.source, self.settings, revision=wanted.revision,
            trust_remote_code=wanted.trust_remote_code, progress=self.states.progress,
            stop=self.stop,
        )
        self._stop_here()
        shape = model_shape(wanted.source, self.settings, revision=wanted.revision,
                            trust_remote_code=wanted.trust_remote_code)
        require_possible(self.recipe, shape)
        self._kept = BaseOfRun(self.shelf, key_of(self.recipe, folder, precision, device), device)
        if self._kept.kept_bytes:
            self.run.append("note", level="info", text="The base model is still in memory from "
                            "the run before and need not be loaded.")
        comparison = compare_with_free(self.recipe, shape, device,
                                       kept_bytes=self._kept.kept_bytes)
        self.run.append("note", level="info" if comparison.level == "good" else "warning",
                        text=comparison.text)
        tokenizer = load_tokenizer(folder, trust_remote_code=wanted.trust_remote_code)
        self._stop_here()
        return Found(tokenizer, folder, shape, precision)

    def load(self, found: Found, device: Device) -> Base:
        """The base model with its adapter on it; a judge of answers has a new head, too."""
        import torch

        from studio.models.loading import load_base

        torch.manual_seed(self.recipe.training.seed)
        self.states.enter("loading")
        kept = self._kept or BaseOfRun(None, None, device)
        free_bytes = free_device_bytes(device) + kept.kept_bytes
        as_chosen = self.recipe.model.model_copy(update={"dtype": found.precision.base_dtype})
        model = kept.model(lambda: load_base(
            as_chosen, found.folder, device, stop=self.stop,
            judges=self.recipe.training.method == "reward"))
        self._stop_here()
        return Base(self.with_adapter(model, found), found.tokenizer, found.folder,
                    found.shape, found.precision, free_bytes)

    def with_adapter(self, model: Any, found: Found) -> Any:
        """`model` with the recipe's adapter, whose start values the training seed decides."""
        import torch

        torch.manual_seed(self.recipe.training.seed)
        if self.recipe.adapter.method == "none":
            return model
        from peft import get_peft_model

        from studio.adapters.methods import peft_config

        folder, shape, tokenizer = found.folder, found.shape, found.tokenizer
        judges = self.recipe.training.method == "reward"
        config = peft_config(self.recipe.adapter, shape,
                             task_type="SEQ_CLS" if judges else "CAUSAL_LM")
        # While training, checkpoints must not make PEFT ask the Hub about the base.
        config.base_model_name_or_path = str(folder.path)
        adapted_model = get_peft_model(model, config)
        set_start(adapted_model, self.recipe.adapter, folder, tokenizer, self._start_file,
                  progress=self.states.progress, stop=self.stop)
        self._stop_here()
        return adapted_model

    def _forget_kept(self) -> None:
        """Memory is short, so the base is not kept for the next run."""
        if self._kept is not None:
            self._kept.forget()

    @property
    def _start_file(self) -> Path | None:
        """Where a start that changes the base is kept."""
        return self.run.path / START_FILE

    def tokenise(self, found: Found, device: Device) -> Prepared:
        """The recipe's data as tokens; what is left out is noted in the run."""
        from studio.data.prepare import prepare

        self.states.enter("tokenising")
        data = prepare(self.recipe, found.tokenizer, self.settings,
                       progress=self.states.progress, stop=self.stop)
        found.tokenizer.chat_template = data.chat_template
        if data.skipped:
            first = data.skipped[0]
            self.run.append("note", level="warning", text=(
                f"{data.skipped_count:,} record{' is' if data.skipped_count == 1 else 's are'} "
                f"left out; the first: {first.what} "
                f"({first.where or 'no line'})."))
        record_environment(self.run, device, data.train, data.eval)
        self._stop_here()
        return data

    def _train(
        self, base: Base, data: Prepared, device: Device, checkpoint: Path | None
    ) -> Ending:
        has_adapter = self.recipe.adapter.method != "none"
        start = StartWeights(base.model) if has_adapter and checkpoint is None else None
        with _telemetry(self.run):
            while True:
                outcome = self._stretch(base, data, device, checkpoint)
                if isinstance(outcome, Ending):
                    return outcome
                self._forget_kept()
                release_memory(device)
                before, checkpoint = self.recipe, outcome.checkpoint
                self.recipe = adapted(before, self.run, outcome, base, device, longest(data.train))
                if outcome.weights_changed and checkpoint is None:
                    base = self._start_again(base, start, device)
                if self.recipe.data != before.data:
                    data = self.tokenise(base.found, device)

    def _start_again(self, base: Base, start: StartWeights | None, device: Device) -> Base:
        """The model as before its first step; without a copy of it, it is loaded again."""
        if start is not None:
            start.restore(base.model)
            return base
        base.model = None
        release_memory(device)
        return self.load(base.found, device)

    def _stretch(
        self, base: Base, data: Prepared, device: Device, checkpoint: Path | None
    ) -> Ending | RanOut:
        """Train from `checkpoint`, or the start, until the run ends or memory runs out."""
        plan = self.run.story().plan
        setup, choices = make_setup(
            self.recipe, base, data, device, self.settings,
            grouped_before=plan.get("grouped", False) if plan else None)
        observers = observers_for(self.recipe)
        begin = str(checkpoint) if checkpoint else None
        try:
            if device.kind == "cpu":
                release_memory(device)  # what loading left behind
                keep_freed_memory()
            with forward_kept(base.model):
                trainer = self._trainer(base, data, setup, choices, observers)
                self._stop_here()
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
                        start=self._start_file)
        asked = what_is_asked(self.stop)
        if reason and asked != "cancel":
            return Ending("stopped" if is_fault else "done", reason)
        return ending_after(asked, step, total)

    def _stop_here(self) -> None:
        if self.stop():
            raise Stopped("Stopped before training began.")


@contextmanager
def _telemetry(run: Run) -> Iterator[None]:
    from studio.hardware.telemetry import Sampler

    sampler = Sampler()
    sampler.start(run.path)
    try:
        yield
    finally:
        sampler.close()
        if sampler.problem:
            run.append("note", level="warning", text=sampler.problem)
