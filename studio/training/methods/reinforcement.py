"""grpo and rloo: TRL's trainers on answers that the model writes itself, rewarded one by one.

The model is asked with the studio's own tokens; writing is `own_answers.py`, what an answer is
worth `training/rewards/`, the evaluation `rewarded_part.py`. Groups and advantages are TRL's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.data.columns import row_lengths
from studio.errors import DataError
from studio.recipe import Recipe
from studio.recipe.usual import reinforcement_beta
from studio.runs import Run, checkpoint_step
from studio.settings import Settings
from studio.training.answering import context_tokens
from studio.training.held_out import HeldOut
from studio.training.methods.arguments import arguments_of, parts_of
from studio.training.methods.common import StudioTrainer
from studio.training.methods.kept_batch import load_batch, save_batch
from studio.training.methods.own_answers import BrokenOff, OwnAnswers
from studio.training.methods.preference import check_head
from studio.training.methods.prompt_order import PromptOrder
from studio.training.methods.reference import check_reference, reference_adapter, second_copy
from studio.training.methods.rewarded_part import RewardedPart
from studio.training.reporter import TrainReporter
from studio.training.rewarded import RewardedAnswers
from studio.training.rewards import Rewarding, check_rewards
from studio.training.rewards.judge import require_judges
from studio.training.setup import Setup


def check(recipe: Recipe) -> None:
    """Raise RecipeError or RunError for rewards, batches or an adapter that cannot be."""
    check_rewards(recipe)
    check_head(recipe)
    if reinforcement_beta(recipe):
        check_reference(recipe)


def check_runs(recipe: Recipe, settings: Settings) -> None:
    """Raise RunError or ModelError where a reward names a run that holds no reward model."""
    require_judges(recipe, settings)


def make(recipe: Recipe, run: Run, setup: Setup, reporter: TrainReporter) -> Any:
    """The trainer; `setup.train` has the columns prompt_ids, expected and shown."""
    rewarding = Rewarding(recipe, run, setup.settings, setup.device)
    _require_expected(rewarding, setup.train)
    own = OwnAnswers(recipe, setup.tokenizer, reporter)
    beta = reinforcement_beta(recipe)
    # TRL would load the second copy by itself, in its own way.
    arguments = _arguments(recipe, run, setup, rewarding.weights,
                           beta=0.0 if recipe.adapter.trains_base else beta)
    with reference_adapter(recipe, setup.model):
        trainer = _class_of(recipe.training.method)(**parts_of(
            arguments, setup, reporter, train_dataset=_fitting(recipe, run, setup),
            reward_funcs=[_stand_in(name) for name in rewarding.names]))
    if beta and recipe.adapter.trains_base:
        _compare_with(trainer, second_copy(recipe, setup), beta)
    # Beside TRL's ends of a text that of a turn, by the template that the model is asked with.
    trainer.eos_token_ids = sorted(own.ends(setup.model))
    trainer.rewarding, trainer.own_answers = rewarding, own
    trainer.rewarded = RewardedAnswers(run)
    trainer.rewarded_part = RewardedPart(reporter, rewarding, setup)
    return trainer


def _arguments(
    recipe: Recipe, run: Run, setup: Setup, weights: list[float], *, beta: float
) -> Any:
    import trl

    wanted = recipe.reinforcement
    own: dict[str, Any] = dict(
        num_generations=wanted.generations, num_generations_eval=1, beta=beta,
        max_completion_length=wanted.answer_tokens, temperature=wanted.temperature,
        top_p=wanted.top_p, num_iterations=wanted.iterations, reward_weights=weights,
        remove_unused_columns=False)
    if recipe.training.method == "rloo":
        return arguments_of(trl.RLOOConfig, recipe, run, setup, **own)
    return arguments_of(trl.GRPOConfig, recipe, run, setup, loss_type=wanted.loss,
                        scale_rewards=wanted.scale_rewards, **own)


def _compare_with(trainer: Any, reference: Any, beta: float) -> None:
    """Make `reference`, a second copy of the model, the one that the trainer compares with."""
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(reference, temperature=trainer.temperature)
    trainer.ref_model = trainer.accelerator.prepare_model(reference, evaluation_mode=True)
    trainer.beta = trainer.args.beta = beta


def _stand_in(name: str) -> Callable[..., Any]:
    """What TRL names a reward by; the rewards come from `Rewarding`."""

    def reward(**_: Any) -> Any:
        raise AssertionError("rewards are asked of Rewarding alone")

    reward.__name__ = name
    return reward


def _require_expected(rewarding: Rewarding, train: Any) -> None:
    comparing = [one.text for one in rewarding.named if one.compares and one.weight]
    if comparing and not any(train["expected"]):
        raise DataError(
            f"The reward {comparing[0]} compares with the record's own answer, but the records "
            "are prompts without answers.",
            "Give them answers (prompt and completion), or choose a reward that needs none, such "
            "as json_valid, regex=pattern or python=file.py:function.")


def _fitting(recipe: Recipe, run: Run, setup: Setup) -> Any:
    """The prompts that leave room for a whole answer in what the model can read, told if fewer."""
    limit = context_tokens(setup.model)
    rows = setup.train
    if limit is not None:
        answer = recipe.reinforcement.answer_tokens
        kept = [number for number, length in enumerate(row_lengths(rows))
                if length + answer <= limit]
        if not kept:
            raise DataError(
                f"No prompt leaves room for an answer of {answer:,} tokens: the model reads "
                f"{limit:,} together.", "Set reinforcement.answer_tokens lower.")
        if len(kept) < len(rows):
            run.append("note", level="warning", text=(
                f"{len(rows) - len(kept):,} of {len(rows):,} prompts are left out: with an answer "
                f"of {answer:,} tokens they would be longer than the {limit:,} that the model can "
                "read."))
            rows = rows.select(kept)
    return rows.rename_column("prompt_ids", "prompt")  # TRL's name


@functools.cache
def _class_of(method: str) -> Any:
    import trl

    return type("GroupTrainer", (GrpoMixin, trl.GRPOTrainer), {}) if method == "grpo" else \
        type("LeaveOneOutTrainer", (RlooMixin, trl.RLOOTrainer), {})


class RewardedMixin(StudioTrainer):
    """What the studio changes in TRL's trainers of rewarded answers."""

    rewarding: Rewarding
    own_answers: OwnAnswers
    rewarded: RewardedAnswers
    rewarded_part: RewardedPart
    args: Any
    _buffered_inputs: Any
    _metrics: Any
    _step: int

    @property
    def _total_train_tokens(self) -> int:
        """Of prompts and answers; TRL counts them in the state."""
        return int(self.state.num_input_tokens_seen)

    @_total_train_tokens.setter
    def _total_train_tokens(self, tokens: int) -> None:
        self.state.num_input_tokens_seen = tokens

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        rows = self.train_dataset if dataset is None else dataset  # type: ignore[attr-defined]
        answers = self.args.num_generations
        return PromptOrder(
            len(rows), answers=answers, seed=self.args.data_seed,
            prompts_per_step=self.args.generation_batch_size // answers,
            repeats=self.args.num_iterations * self.args.steps_per_generation)

    def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[list[list[int]], None, dict]:
        """They are tokens already."""
        return prompts, None, {}

    def _written(self, prompts: list[list[int]]) -> list[list[int]]:
        with self.compute_loss_context_manager():  # type: ignore[attr-defined]
            return self.own_answers.write(self.model, prompts)

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: Any, completions: Any, answers: list[list[int]]
    ) -> Any:
        """Shape (answers, rewards); not a number where a reward does not apply."""
        import torch

        written = [self.own_answers.as_written(row, ids)
                   for row, ids in zip(inputs, answers, strict=True)]
        given = self.rewarding.of(written)
        self.rewarded.keep(self.state, self.args.num_generations, written, given)
        return torch.tensor([list(one.single.values()) for one in given], dtype=torch.float32,
                            device=self.args.device)

    def held_out(self, stop: Callable[[], bool]) -> HeldOut | None:
        """Minus the mean reward as the loss, so that the lowest is the best."""
        return self.rewarded_part.measured(stop)

    def log(self, logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """With the tokens so far, also where a step goes on with the answers of the last."""
        self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        super().log(logs, *args, **kwargs)

    def _run_epoch(self, *args: Any, **options: Any) -> None:
        """An epoch; a stop while answers are written ends it as one between two micro-batches."""
        try:
            super()._run_epoch(*args, **options)
        except BrokenOff:
            self.model.zero_grad()
            self.control.should_training_stop = True
            self.control = self.callback_handler.on_epoch_end(  # type: ignore[attr-defined]
                self.args, self.state, self.control)
            self._maybe_log_save_evaluate(
                self._tr_loss, None, self.model, options["trial"], options["epoch"],
                options["ignore_keys_for_eval"], options["start_time"])

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """With the answers that later steps still learn from."""
        super()._save_optimizer_and_scheduler(output_dir)  # type: ignore[misc]
        if self.state.global_step % self.args.num_iterations and self._buffered_inputs:
            save_batch(self._buffered_inputs, Path(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is not None:
            self._step = checkpoint_step(Path(checkpoint)) * self.args.gradient_accumulation_steps
            self._buffered_inputs = load_batch(
                Path(checkpoint), self.args.steps_per_generation, self.args.device)


class GrpoMixin(RewardedMixin):
    """GRPO asks for log probabilities of the writing, which come only with other engines."""

    def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any) -> tuple[Any, None]:
        return self._written(prompt_ids), None


class RlooMixin(RewardedMixin):
    """RLOO asks for the answers alone."""

    def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any) -> Any:
        return self._written(prompt_ids)
