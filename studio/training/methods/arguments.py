"""What every method is told: batches, rates, precision, when to log, evaluate and save.

Chooses nothing by itself: number format, checkpointing and rows come from `choices.py`.
"""

from __future__ import annotations

from typing import Any

from studio.recipe import Recipe
from studio.runs import Run
from studio.training.grouping import STRATEGY
from studio.training.reporter import TrainReporter, as_callback
from studio.training.setup import Setup

AT_THE_END = 10**9
"""Steps between two saves or evaluations that leave only the one at the end."""


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """What the recipe alone says, by transformers' names: the same on every PC."""
    wanted = recipe.training
    return dict(
        num_train_epochs=wanted.epochs, max_steps=wanted.max_steps or -1,
        per_device_train_batch_size=wanted.batch_size,
        per_device_eval_batch_size=wanted.batch_size,
        gradient_accumulation_steps=wanted.gradient_accumulation,
        learning_rate=recipe.learning_rate, lr_scheduler_type=wanted.scheduler,
        warmup_steps=wanted.warmup_ratio,  # below 1 it is a share of all steps
        weight_decay=wanted.weight_decay, optim=wanted.optimizer,
        max_grad_norm=wanted.max_grad_norm,
        logging_steps=wanted.logging_steps, logging_nan_inf_filter=False,
        seed=wanted.seed, data_seed=recipe.data.seed,
    )


def arguments_of(kind: Any, recipe: Recipe, run: Run, setup: Setup, **own: Any) -> Any:
    """TRL's configuration class `kind`, filled from the recipe; `own` is what the method adds."""
    wanted = recipe.training
    common = recipe_values(recipe) | dict(
        output_dir=str(run.checkpoint_path),
        gradient_checkpointing=None, activation_checkpointing=setup.checkpointing,
        eval_strategy="steps" if setup.held_out is not None else "no",
        eval_steps=wanted.eval_steps or AT_THE_END, prediction_loss_only=True,
        save_strategy="steps", save_steps=wanted.save_steps or AT_THE_END,
        save_total_limit=None,  # thinned out in checkpoints.py, after the newest is safe
        train_sampling_strategy=STRATEGY if setup.lengths else "random",
        bf16=setup.precision.autocast == "bfloat16", fp16=setup.precision.autocast == "float16",
        use_cpu=setup.device.kind == "cpu", dataloader_pin_memory=setup.device.kind == "cuda",
        report_to="none", disable_tqdm=True, push_to_hub=False, log_level="error",
    )
    arguments = kind(**common | own)
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one process drives one GPU, also beside others
    return arguments


def parts_of(
    arguments: Any, setup: Setup, reporter: TrainReporter, **own: Any
) -> dict[str, Any]:
    """What a trainer of TRL is made of, by the names of its parts; `own` is what the method adds or
    has another of."""
    return dict(
        model=setup.model, args=arguments, train_dataset=setup.train,
        eval_dataset=setup.held_out, processing_class=setup.tokenizer,
        callbacks=[as_callback(reporter)],
    ) | own
