"""kto: learning from answers that were judged good or bad, one by one.

TRL's trainer on our tokens. The prompts with another row's answer, which its loss needs, are made
in each micro-batch; TRL makes them once, for batches in the order of the file, and would then learn
the examples in that order.
"""

from __future__ import annotations

import functools
from typing import Any

from studio.errors import RecipeError
from studio.recipe import Recipe
from studio.recipe.usual import preference_beta
from studio.runs import Run
from studio.training.grouping import STRATEGY
from studio.training.methods.arguments import arguments_of, parts_of
from studio.training.methods.collators import JudgedCollator
from studio.training.methods.common import StudioTrainer
from studio.training.methods.labelled_head import score_labelled_only
from studio.training.methods.preference import check_head
from studio.training.methods.reference import check_reference, reference_adapter, second_copy
from studio.training.reporter import TrainReporter
from studio.training.setup import Setup

_LOSS = "kto"
"""The loss that needs several examples at once; the other one compares nothing."""


def check(recipe: Recipe) -> None:
    """Raise RecipeError where the recipe's settings do not go with kto."""
    check_head(recipe)
    check_reference(recipe)
    if recipe.training.batch_size < least_rows(recipe):
        raise RecipeError(
            "training.batch_size is 1, and kto compares the answers of a micro-batch with each "
            "other.", "Set training.batch_size to 2 or more, or preference.kto_loss to "
            "apo_zero_unpaired.")


def least_rows(recipe: Recipe) -> int:
    """Examples of a micro-batch that the recipe's method needs."""
    return 2 if recipe.training.method == "kto" and recipe.preference.kto_loss == _LOSS else 1


def needs_last_left_out(recipe: Recipe, rows: int) -> bool:
    """Whether the last micro-batch would be one example, which cannot be compared with itself."""
    batch = recipe.training.batch_size
    return least_rows(recipe) > 1 and rows > batch and rows % batch == 1


def make(recipe: Recipe, run: Run, setup: Setup, reporter: TrainReporter) -> Any:
    """The trainer; `setup.train` has the columns input_ids, labels and is_good."""
    from trl import KTOConfig

    wanted = recipe.preference
    arguments = arguments_of(
        KTOConfig, recipe, run, setup, max_length=None, remove_unused_columns=False,
        loss_type=wanted.kto_loss, beta=preference_beta(recipe),
        desirable_weight=wanted.desirable_weight, undesirable_weight=wanted.undesirable_weight,
        train_sampling_strategy="sequential",
        dataloader_drop_last=needs_last_left_out(recipe, len(setup.train)),
    )
    reference = second_copy(recipe, setup)
    with reference_adapter(recipe, setup.model):
        trainer = _trainer_class()(**parts_of(
            arguments, setup, reporter, ref_model=reference,
            data_collator=JudgedCollator(setup.tokenizer.pad_token_id, recipe.data.max_length,
                                         wanted.kto_loss == _LOSS)))
    # TRL insists on the file's order for the pairs that it would have made from it.
    trainer.args.train_sampling_strategy = STRATEGY if setup.lengths else "random"
    trainer.least_rows = least_rows(recipe)
    for model in (trainer.model, reference):
        if model is not None:
            score_labelled_only(model)
    return trainer


@functools.cache
def _trainer_class() -> Any:
    from trl import KTOTrainer

    return type("JudgedTrainer", (JudgedMixin, KTOTrainer), {})


class JudgedMixin(StudioTrainer):
    """What the studio changes in TRL's KTO trainer."""

    args: Any

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """Every held-out row, also where the training leaves its last micro-batch out."""
        drops, self.args.dataloader_drop_last = self.args.dataloader_drop_last, False
        try:
            return super().get_eval_dataloader(*args, **kwargs)  # type: ignore[misc]
        finally:
            self.args.dataloader_drop_last = drops

    def weight_of(self, inputs: dict[str, Any], name: str) -> int:
        """Answers in the batch, of the kind that the metric is about."""
        good = int(inputs["label"].sum())
        kinds = {"rewards/chosen": good, "rewards/rejected": len(inputs["label"]) - good}
        return kinds.get(name, len(inputs["label"]))
