"""The stages of a training, in order: find, tokenise, load, train.

Training itself, and saving, is `stretch.py`'s, once for each attempt. Called by `loop.py`, and by a
dry run for the first ones. Each stage asks for the stop before it hands on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.limits import require_possible
from studio.data.columns import longest
from studio.device import Device, free_device_bytes, pick_device, release_memory
from studio.errors import Stopped, StudioError
from studio.hardware.calibration import calibrated
from studio.hardware.precision import choose_precision
from studio.recipe import Model, Recipe
from studio.runs import Run, checkpoint_step
from studio.settings import Settings
from studio.training.checkpoints import (
    newest_good_checkpoint,
    tidy_checkpoints,
)
from studio.training.choices import compare_with_free
from studio.training.ending import Ending
from studio.training.environment import record_environment
from studio.training.libraries import load_libraries
from studio.training.neighbours import MakeRoom, nobody_leaves, others_left, others_left_for
from studio.training.recovery import StartWeights, adapted
from studio.training.reporter import StateReporter
from studio.training.scorers import require_scorer
from studio.training.setup import Base, Found
from studio.training.shelf import BaseOfRun, Shelf, key_of
from studio.training.space import foresee_space
from studio.training.start_values import START_FILE, set_start
from studio.training.stretch import Stretch
from studio.training.trackers import require_trackers

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
    make_room: MakeRoom = nobody_leaves
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
        ending = self._load_and_train(found, data, device, checkpoint)
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
        if self.recipe.adapter.trains_base:
            return model
        from peft import get_peft_model

        from studio.adapters.methods import peft_config
        from studio.models.libraries import made_in_turn

        folder, shape, tokenizer = found.folder, found.shape, found.tokenizer
        judges = self.recipe.training.method == "reward"
        config = peft_config(self.recipe.adapter, shape,
                             task_type="SEQ_CLS" if judges else "CAUSAL_LM")
        # While training, checkpoints must not make PEFT ask the Hub about the base.
        config.base_model_name_or_path = str(folder.path)
        with made_in_turn():
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
    def _start_file(self) -> Path:
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

    def _load_and_train(
        self, found: Found, data: Prepared, device: Device, checkpoint: Path | None
    ) -> Ending:
        """Where loading finds too little memory, once more after others have left."""
        try:
            return self._train(self.load(found, device), data, device, checkpoint)
        except (StudioError, MemoryError, RuntimeError) as error:
            if self.states.state != "loading" or not others_left_for(
                    error, self.run, "while the model was loaded", self.make_room):
                raise
        release_memory(device)
        return self._train(self.load(found, device), data, device, checkpoint)

    def _train(
        self, base: Base, data: Prepared, device: Device, checkpoint: Path | None
    ) -> Ending:
        has_adapter = not self.recipe.adapter.trains_base
        start = StartWeights(base.model) if has_adapter and checkpoint is None else None
        with _telemetry(self.run):
            while True:
                outcome = Stretch(
                    self.recipe, self.run, self.stop, self.settings, self.states,
                    self._start_file).go(base, data, device, checkpoint)
                if isinstance(outcome, Ending):
                    return outcome
                self._forget_kept()
                release_memory(device)
                before, checkpoint = self.recipe, outcome.checkpoint
                if not others_left(self.run, f"in step {outcome.step}", self.make_room):
                    self.recipe = adapted(before, self.run, outcome, base, device,
                                          longest(data.train))
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
