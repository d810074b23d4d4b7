"""dpo and orpo: learning to prefer one of two answers.

dpo is TRL's trainer on our tokens. orpo has a loss of its own on the same micro-batches, since
TRL's trainer of it is an experiment that tokenises by itself and keeps every token's scores.
"""

from __future__ import annotations

import functools
from typing import Any

from studio.errors import RecipeError
from studio.models.wrapped import without_wrapper
from studio.recipe import Recipe
from studio.recipe.usual import preference_beta
from studio.runs import Run
from studio.training.methods.arguments import arguments_of, parts_of
from studio.training.methods.collators import PairCollator
from studio.training.methods.common import StudioTrainer
from studio.training.methods.labelled_head import score_labelled_only
from studio.training.methods.reference import check_reference, reference_adapter, second_copy
from studio.training.reporter import TrainReporter
from studio.training.setup import Setup


def check(recipe: Recipe) -> None:
    """Raise RecipeError where the recipe's settings do not go with dpo or orpo."""
    check_head(recipe)
    if recipe.training.method == "dpo":
        check_reference(recipe)


def check_head(recipe: Recipe) -> None:
    """Raise RecipeError where the language model's head would carry an adapter.

    Log probabilities are computed from its weight alone, so that the adapter would learn nothing.
    """
    targets = recipe.adapter.targets
    if not isinstance(targets, str) and "lm_head" in targets and not recipe.adapter.trains_base:
        raise RecipeError(
            f"adapter.targets names lm_head, on which training.method {recipe.training.method} "
            "cannot train an adapter.",
            "Take lm_head out of adapter.targets, or put it into adapter.modules_to_save.")


def make(recipe: Recipe, run: Run, setup: Setup, reporter: TrainReporter) -> Any:
    """The trainer; `setup.train` has the columns of a pair."""
    maker = _orpo if recipe.training.method == "orpo" else _dpo
    trainer = maker(recipe, run, setup, reporter)
    score_labelled_only(trainer.model)
    return trainer


def _dpo(recipe: Recipe, run: Run, setup: Setup, reporter: TrainReporter) -> Any:
    from trl import DPOConfig

    wanted = recipe.preference
    arguments = arguments_of(
        DPOConfig, recipe, run, setup, max_length=None, remove_unused_columns=False,
        loss_type=[wanted.loss], beta=preference_beta(recipe),
        label_smoothing=wanted.label_smoothing,
    )
    reference = second_copy(recipe, setup)
    with reference_adapter(recipe, setup.model):
        trainer = _dpo_class()(ref_model=reference, **_parts(arguments, setup, reporter))
    if reference is not None:
        score_labelled_only(reference)
    return trainer


def _orpo(recipe: Recipe, run: Run, setup: Setup, reporter: TrainReporter) -> Any:
    from trl import SFTConfig
    from trl.trainer.utils import add_fused_lm_head, disable_dropout_in_model

    arguments = arguments_of(
        SFTConfig, recipe, run, setup, max_length=None, remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True}, loss_type="nll",
    )
    disable_dropout_in_model(setup.model)
    trainer = _orpo_class()(**_parts(arguments, setup, reporter))
    trainer.beta = preference_beta(recipe)
    model = setup.model
    add_fused_lm_head(without_wrapper(model))
    return trainer


def _parts(arguments: Any, setup: Setup, reporter: TrainReporter) -> dict[str, Any]:
    return parts_of(arguments, setup, reporter,
                    data_collator=PairCollator(setup.tokenizer.pad_token_id))


@functools.cache
def _dpo_class() -> Any:
    from trl import DPOTrainer

    return type("PreferenceTrainer", (PairMixin, DPOTrainer), {})


@functools.cache
def _orpo_class() -> Any:
    from trl import SFTTrainer

    return type("OddsRatioTrainer", (OddsRatioMixin, PairMixin, SFTTrainer), {})


class PairMixin(StudioTrainer):
    """What the studio changes in a trainer of pairs."""

    def weight_of(self, inputs: dict[str, Any], name: str) -> int:
        """Pairs in the batch."""
        return len(inputs["input_ids"]) // 2


class OddsRatioMixin:
    """The loss of ORPO (arXiv:2403.07691, equations 4, 6 and 7).

    The chosen answer's negative log likelihood per token, as the paper has it of the answer alone
    (TRL counts the prompt too), and beta times the odds ratio of both answers.
    """

    beta: float
    model: Any
    _metrics: Any
    _total_train_tokens: int

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any
    ) -> Any:
        """The mean loss of the pairs in the batch; what is measured beside it goes to the log."""
        mode = "train" if self.model.training else "eval"
        mask = inputs["completion_mask"]
        labels = inputs["input_ids"].masked_fill(mask == 0, -100)
        tokens = mask[:, 1:].sum(1)
        found = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
                      labels=labels, fused_lm_head=True, use_cache=False).log_probs
        # Virtual tokens of an adapter stand before those of the text.
        sums = found[:, -mask[:, 1:].size(1):].float().sum(1)
        chosen, rejected = (sums / tokens.clamp(min=1)).chunk(2)
        likelihood = -sums.chunk(2)[0].sum() / tokens.chunk(2)[0].sum().clamp(min=1)
        loss = likelihood - self.beta * _log_odds_ratio(chosen, rejected).mean()
        self._measure(mode, chosen.detach() * self.beta, rejected.detach() * self.beta)
        if mode == "train":
            self._total_train_tokens += int(inputs["attention_mask"].sum())
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
        return loss

    def _measure(self, mode: str, chosen: Any, rejected: Any) -> None:
        """By TRL's names: the reward of an answer is beta times its log likelihood per token."""
        metrics = self._metrics[mode]
        metrics["rewards/chosen"].append(chosen.mean().item())
        metrics["rewards/rejected"].append(rejected.mean().item())
        metrics["rewards/accuracies"].append((chosen > rejected).float().mean().item())
        metrics["rewards/margins"].append((chosen - rejected).mean().item())


def _log_odds_ratio(chosen: Any, rejected: Any) -> Any:
    """log sigmoid of log odds(chosen) - log odds(rejected), of mean log likelihoods per token."""
    import torch
    from torch.nn.functional import logsigmoid

    # log(1 - p) of p = exp(x): -expm1 keeps its digits near 0.
    against = [torch.log(-torch.expm1(value.clamp(max=-1e-6))) for value in (chosen, rejected)]
    return logsigmoid(chosen - rejected - (against[0] - against[1]))
