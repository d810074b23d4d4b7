"""sft and pretrain: TRL's SFT trainer on tokenised data, without logits that nobody needs."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from studio.models.wrapped import without_wrapper
from studio.recipe import Recipe
from studio.runs import Run
from studio.training.methods.arguments import arguments_of, parts_of
from studio.training.methods.common import StudioTrainer
from studio.training.reporter import TrainReporter
from studio.training.setup import Setup
from studio.training.speed.head import has_plain_head, score_in_one_pass

if TYPE_CHECKING:
    import torch


def make(recipe: Recipe, run: Run, setup: Setup, reporter: TrainReporter) -> Any:
    """The trainer; `setup.train` has the columns input_ids and labels."""
    from trl import SFTConfig

    arguments = arguments_of(
        SFTConfig, recipe, run, setup, padding_free=setup.joined_rows, max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = _trainer_class()(**parts_of(arguments, setup, reporter))
    trainer.skips_prompt_scores = setup.skips_prompt_scores and setup.device.kind != "cuda"
    if trainer.skips_prompt_scores and setup.fusable and has_plain_head(setup.model):
        score_in_one_pass(setup.model)
    return trainer


@functools.cache
def _trainer_class() -> Any:
    from trl import SFTTrainer

    return type("SupervisedTrainer", (SupervisedMixin, SFTTrainer), {})


class SupervisedMixin(StudioTrainer):
    """What the studio changes in TRL's SFT trainer."""

    skips_prompt_scores: bool

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's loss, the language model's head computed only where there is a label.

        TRL itself does so on GPUs; elsewhere it projects every position onto the vocabulary,
        which costs more than the rest of a small model.
        """
        if not self.skips_prompt_scores:
            return super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[misc]
        kept, shifted = labelled_positions(inputs["labels"])
        with only_positions(_backbone(self.model), kept):
            loss = super().compute_loss(  # type: ignore[misc]
                model, {**inputs, "shift_labels": shifted}, *args, **kwargs)
        for measured in self._metrics.values():
            for name in ("entropy", "mean_token_accuracy"):  # shown nowhere, and not computed
                measured.pop(name, None)
        return loss


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
    from torch.nn.functional import pad

    def keep(module: Any, arguments: Any, output: Any) -> Any:
        hidden = output.last_hidden_state
        # Prompt tuning puts learned tokens before the text, which carry no loss.
        mask = pad(kept, (hidden.shape[1] - kept.shape[1], 0))
        output.last_hidden_state = hidden[mask][None]
        return output

    hook = backbone.register_forward_hook(keep)
    try:
        yield
    finally:
        hook.remove()


def _backbone(model: Any) -> Any:
    """The layers below the language model's head, as TRL finds them."""
    inner = without_wrapper(model)
    return inner.base_model
