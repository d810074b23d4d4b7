"""What every trainer of the studio does: quiet, stoppable, guarded, and evaluated in one way.

Mixed in before TRL's class; see `supervised.py` for an example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from studio.measures import measures_in
from studio.training.grouping import STRATEGY, grouped_sampler
from studio.training.guard import StepGuard, drop_gradients
from studio.training.held_out import HeldOut, held_out_loss
from studio.training.loraplus import loraplus_optimizer
from studio.training.reporter import TrainReporter
from studio.training.saving import SavingMixin


class StudioTrainer(SavingMixin):
    """What the studio changes in every trainer of TRL; the base class comes later, when loaded."""

    reporter: TrainReporter
    guard: StepGuard
    model: Any
    optimizer: Any
    control: Any
    args: Any
    lengths: list[int] | None = None
    """The tokens of each row, where similar ones are to come together."""
    least_rows = 1
    """Rows of a micro-batch with which the method still makes sense."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """Rows come tokenised."""
        return dataset

    def weight_of(self, inputs: dict[str, Any], name: str) -> int:
        """What the mean `name` ("loss", or one of TRL's metrics) of this batch counts in the mean
        over the held-out part: its labelled tokens."""
        return int((inputs["labels"][:, 1:] != -100).sum())

    def held_out(self, stop: Callable[[], bool]) -> HeldOut | None:
        """What is measured on the held-out part; None where nothing could be, or it was stopped."""
        return held_out_loss(self, stop)

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        """The order of the rows; where lengths are grouped, the same one after a resume."""
        if self.args.train_sampling_strategy != STRATEGY or self.lengths is None:
            return super()._get_train_sampler(*args, **kwargs)  # type: ignore[misc]
        examples = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return grouped_sampler(self.lengths, examples, self.args.data_seed)

    def create_optimizer(self, model: Any = None) -> Any:
        """The recipe's optimizer, with rates of its own for each matrix where it asks for them."""
        adapter = self.recipe.adapter
        if self.optimizer is None and adapter.method == "lora" and adapter.lora_plus_ratio > 0:
            self.optimizer = loraplus_optimizer(self, adapter.lora_plus_ratio)
        return super().create_optimizer(model)  # type: ignore[misc]

    def _send_telemetry(self) -> None:
        """Nothing leaves this PC."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No page for the Hub inside each checkpoint."""

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Norm of the gradient before clipping; a step that is no number is not applied."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[misc]
        what = self.guard.fault_of(self._tr_loss, norm)
        if what:
            drop_gradients(model)
            self.reporter.refused(self.state.global_step + 1, what)
        return norm

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Logs, and begins the sum of losses anew: taken from itself, NaN would stay NaN."""
        self._tr_loss.nan_to_num_(nan=0.0)
        super().log(*args, **kwargs)  # type: ignore[misc]

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The loss on the held-out part, as an `eval` event; stops when asked to."""
        states = self.reporter.states
        before = states.state
        states.enter("evaluating")
        found = self.held_out(self.reporter.stop)
        if found is None:
            self.control.should_evaluate = False
            if self.reporter.stop():
                self.control.should_training_stop = True
            else:
                self._leave_evaluation(before)
            return {}
        state = self.state
        measures = measures_in(found.logs, self.recipe.training.method)
        self.reporter.run.append("eval", step=state.global_step, epoch=float(state.epoch or 0),
                                 loss=found.loss, **({"measures": measures} if measures else {}))
        metrics = {"eval_loss": found.loss}
        self.control = self.callback_handler.on_evaluate(  # type: ignore[attr-defined]
            self.args, state, self.control, metrics)
        self._leave_evaluation(before)
        return metrics

    def _leave_evaluation(self, before: str) -> None:
        """Back to the state `before`, unless the last step is done."""
        if before == "training" and self.state.global_step < self.state.max_steps:
            self.reporter.states.enter("training")
