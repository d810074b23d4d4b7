"""TRL's SFT trainer on tokenised data: quiet, stoppable, and without logits nobody needs.

Chooses nothing by itself: number format, checkpointing and rows come from `choices.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from studio.recipe import Recipe
from studio.runs import Run
from studio.training.guard import StepGuard, drop_gradients
from studio.training.held_out import held_out_loss
from studio.training.reporter import TrainReporter, as_callback
from studio.training.saving import SavingMixin
from studio.training.setup import Setup

if TYPE_CHECKING:
    import torch

_AT_THE_END = 10**9
"""Steps between two saves or evaluations that leave only the one at the end."""


def make_trainer(recipe: Recipe, run: Run, setup: Setup, reporter: TrainReporter) -> Any:
    """A trainer that is ready for `train()`. Seeds torch with the recipe's training seed."""
    from transformers import PrinterCallback

    trainer = _trainer_class()(
        model=setup.model, args=_arguments(recipe, run, setup), train_dataset=setup.train,
        eval_dataset=setup.held_out, processing_class=setup.tokenizer,
        callbacks=[as_callback(reporter)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.reporter, trainer.recipe = reporter, recipe
    reporter.evaluate = trainer.evaluate
    trainer.guard = StepGuard(scales=setup.precision.autocast == "float16")
    if recipe.adapter.method != "none":
        _adapter_in_float32(setup.model)
    return trainer


def _adapter_in_float32(model: Any) -> None:
    """TRL rounds the adapter of a quantised base to bfloat16, which swallows small updates."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _arguments(recipe: Recipe, run: Run, setup: Setup) -> Any:
    from trl import SFTConfig

    wanted = recipe.training
    arguments = SFTConfig(
        output_dir=str(run.checkpoint_path),
        num_train_epochs=wanted.epochs, max_steps=wanted.max_steps or -1,
        per_device_train_batch_size=wanted.batch_size,
        per_device_eval_batch_size=wanted.batch_size,
        gradient_accumulation_steps=wanted.gradient_accumulation,
        learning_rate=wanted.learning_rate, lr_scheduler_type=wanted.scheduler,
        warmup_steps=wanted.warmup_ratio,  # below 1 it is a share of all steps
        weight_decay=wanted.weight_decay, optim=wanted.optimizer,
        max_grad_norm=wanted.max_grad_norm,
        gradient_checkpointing=None, activation_checkpointing=setup.checkpointing,
        logging_steps=wanted.logging_steps, logging_nan_inf_filter=False,
        eval_strategy="steps" if setup.held_out is not None else "no",
        eval_steps=wanted.eval_steps or _AT_THE_END, prediction_loss_only=True,
        save_strategy="steps", save_steps=wanted.save_steps or _AT_THE_END,
        save_total_limit=None,  # thinned out in checkpoints.py, after the newest is safe
        seed=wanted.seed, data_seed=recipe.data.seed,
        bf16=setup.precision.autocast == "bfloat16", fp16=setup.precision.autocast == "float16",
        use_cpu=setup.device.kind == "cpu", dataloader_pin_memory=setup.device.kind == "cuda",
        padding_free=setup.joined_rows, max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        report_to="none", disable_tqdm=True, push_to_hub=False, log_level="error",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one process drives one GPU, also beside others
    return arguments


@functools.cache
def _trainer_class() -> Any:
    import warnings

    from trl import SFTTrainer

    # What the libraries will rename later is nothing to tell the person about.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft)\.")
    return type("SupervisedTrainer", (SupervisedMixin, SFTTrainer), {})


class SupervisedMixin(SavingMixin):
    """What the studio changes in TRL's trainer; the base class comes later, when it is loaded."""

    reporter: TrainReporter
    guard: StepGuard
    model: Any
    control: Any

    def _send_telemetry(self) -> None:
        """Nothing leaves this PC."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No page for the Hub inside each checkpoint."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss, the language model's head computed only where there is a label.

        TRL itself does so on GPUs; elsewhere it projects every position onto the vocabulary,
        which costs more than the rest of a small model.
        """
        labels = inputs["labels"]
        if labels.device.type == "cuda":
            return super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[misc]
        kept, shifted = labelled_positions(labels)
        with only_positions(_backbone(self.model), kept):
            return super().compute_loss(  # type: ignore[misc]
                model, {**inputs, "shift_labels": shifted}, *args, **kwargs)

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


def labelled_positions(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the next token carries loss, as a mask like `labels`, and those tokens in one row.

    `labels` has shape (rows, tokens), -100 where there is no loss. At least one position is
    kept, so that a batch without any label still has a gradient of zero.
    """
    import torch

    following = torch.full_like(labels, -100)
    following[:, :-1] = labels[:, 1:]
    kept = following != -100
    if not kept.any():
        kept[0, 0] = True
    return kept, following[kept][None]


@contextmanager
def only_positions(backbone: Any, kept: torch.Tensor) -> Iterator[None]:
    """Inside the block `backbone` hands on only the hidden states where `kept`, in one row."""

    def keep(module: Any, arguments: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[kept][None]
        return output

    hook = backbone.register_forward_hook(keep)
    try:
        yield
    finally:
        hook.remove()


def _backbone(model: Any) -> Any:
    """The layers below the language model's head, as TRL finds them."""
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    return inner.base_model
