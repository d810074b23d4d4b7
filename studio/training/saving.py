"""The trainer's side of checkpoints: writes whole ones, and goes on from one to the very bit.

Everything that transformers keeps is kept as it does it; what it and TRL forget (the sums and
measures of a log that is not complete yet) is kept beside. Where checkpoints lie and which is
whole: `checkpoints.py`.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.files import write_json_safely
from studio.recipe import Recipe
from studio.training.checkpoints import checkpoint_written_whole
from studio.training.failure import FullDiskTold
from studio.training.random_states import RandomStates
from studio.training.reporter import TrainReporter

if TYPE_CHECKING:
    from studio.training.adalora import RankAllocation

SUMS = "sums.json"
"""In a checkpoint: what has gathered since the last log."""


@dataclass(frozen=True)
class _AfterStep:
    """What the next step changes before it is whole: random states, and what has gathered since
    the log."""

    step: int
    random: RandomStates
    loss_sum: Any
    tokens: int
    measures: dict[str, list[float]]


class SavingMixin:
    """For a transformers Trainer; `reporter` and `recipe` are set after it is made."""

    reporter: TrainReporter
    recipe: Recipe
    state: Any
    control: Any
    allocation: RankAllocation | None = None
    """Of AdaLoRA, which keeps more than its weights."""
    _folder: Path | None = None
    _after_step: _AfterStep | None = None
    """Taken when a step was logged, measured and saved; None while that is being done."""
    _total_train_tokens: int
    _metrics: dict[str, dict[str, list[float]]]
    """TRL's: what each micro-batch measured since the last log, by "train" and "eval"."""
    _tr_loss: Any
    _globalstep_last_logged: int

    def save_last_whole_step(self) -> Path:
        """The checkpoint of the last whole optimizer step, also in the midst of the next one.

        Weights and optimizer must be as they were after it.
        """
        step = self.state.global_step
        self._undo_unfinished_step()
        if self.reporter.saved_step != step:
            self._save_checkpoint(None, None)
            self.reporter.on_save(None, self.state, self.control)
        return self.reporter.run.checkpoint_path / f"checkpoint-{step}"

    def _get_output_dir(self, trial: Any) -> str:
        """Where transformers makes `checkpoint-STEP`."""
        if self._folder is not None:
            return str(self._folder)
        return super()._get_output_dir(trial)  # type: ignore[misc]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        run = self.reporter.run
        allocation = self.allocation
        with (FullDiskTold(run.path, f"The checkpoint of step {step}"),
              checkpoint_written_whole(run, step, self.recipe) as self._folder):
            try:
                with allocation.whole() if allocation is not None else nullcontext():
                    super()._save_checkpoint(model, trial)  # type: ignore[misc]
                if allocation is not None:
                    allocation.save(self._folder / f"checkpoint-{step}")
                write_json_safely(self._folder / f"checkpoint-{step}" / SUMS, self._sums())
            finally:
                self._folder = None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.allocation is None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
            return
        with self.allocation.whole():
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
        self.allocation.load(Path(resume_from_checkpoint))

    def _sums(self) -> dict[str, Any]:
        return {"loss_sum": float(self._tr_loss), "last_logged_step": self._globalstep_last_logged,
                "tokens": self._total_train_tokens - self.reporter.tokens_at_log,
                "measures": self._measures()}

    def _measures(self) -> dict[str, list[float]]:
        """A copy of what was measured since the last log."""
        return {name: [float(value) for value in values]
                for name, values in self._metrics["train"].items()}

    def _put_measures(self, measures: dict[str, list[float]]) -> None:
        gathered = self._metrics["train"]  # makes a list for a new name
        gathered.clear()
        gathered.update({name: list(values) for name, values in measures.items()})

    def _run_epoch(self, *args: Any, **options: Any) -> None:
        """An epoch; nothing where all steps are done, as when only the result is missing."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        checkpoint = options["resume_from_checkpoint"]
        if checkpoint is not None and options["epoch"] == options["epochs_trained"]:
            self._go_on_summing(Path(checkpoint) / SUMS)
        super()._run_epoch(*args, **options)  # type: ignore[misc]

    def _go_on_summing(self, file: Path) -> None:
        if not file.is_file():
            return  # written by an earlier version
        sums = json.loads(file.read_text(encoding="utf-8"))
        self._tr_loss += sums["loss_sum"]
        self._globalstep_last_logged = sums["last_logged_step"]
        self._total_train_tokens = sums["tokens"]
        self._put_measures(sums.get("measures", {}))

    def _maybe_log_save_evaluate(self, *args: Any, **options: Any) -> None:
        """After each step; at the end of an epoch again, also where a stop broke a step off."""
        self._undo_unfinished_step()
        self._after_step = None
        super()._maybe_log_save_evaluate(*args, **options)  # type: ignore[misc]
        self._after_step = _AfterStep(self.state.global_step, RandomStates.now(),
                                      self._tr_loss.clone(), self._total_train_tokens,
                                      self._measures())

    def _undo_unfinished_step(self) -> None:
        """A checkpoint in the midst of a step is one of the last whole step."""
        after = self._after_step
        if after is not None and after.step == self.state.global_step:
            after.random.restore()
            self._tr_loss, self._total_train_tokens = after.loss_sum, after.tokens
            self._put_measures(after.measures)
