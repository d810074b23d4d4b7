"""What every trainer of the studio does: quiet, stoppable, guarded, and evaluated in one way.

Mixed in before TRL's class; see `supervised.py` for an example.
"""

from __future__ import annotations

from typing import Any

from studio.training.guard import StepGuard, drop_gradients
from studio.training.held_out import held_out_loss
from studio.training.reporter import TrainReporter
from studio.training.saving import SavingMixin


class StudioTrainer(SavingMixin):
    """What the studio changes in every trainer of TRL; the base class comes later, when loaded."""

    reporter: TrainReporter
    guard: StepGuard
    model: Any
    control: Any

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
        """Loss per token on the held-out part, as an `eval` event; stops when asked to."""
        states = self.reporter.states
        before = states.state
        states.enter("evaluating")
        loss = held_out_loss(self, self.reporter.stop)
        if loss is None:
            self.control.should_evaluate = False
            if self.reporter.stop():
                self.control.should_training_stop = True
            else:
                self._leave_evaluation(before)
            return {}
        state = self.state
        self.reporter.run.append("eval", step=state.global_step, epoch=float(state.epoch or 0),
                                 loss=loss)
        metrics = {"eval_loss": loss}
        self.control = self.callback_handler.on_evaluate(  # type: ignore[attr-defined]
            self.args, state, self.control, metrics)  # type: ignore[attr-defined]
        self._leave_evaluation(before)
        return metrics

    def _leave_evaluation(self, before: str) -> None:
        """Back to the state `before`, unless the last step is done."""
        if before == "training" and self.state.global_step < self.state.max_steps:
            self.reporter.states.enter("training")
