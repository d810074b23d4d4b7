"""Memory ran out in a step: what is changed, and from where the run goes on.

The ladder: a smaller micro-batch with more accumulation, so that the effective batch and the order
of the data stay; then gradient checkpointing; then, where the recipe allows it, shorter examples.
Decides and tells; it neither catches the error (`out_of_memory.py`) nor trains (`stages.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.kinds import kind_of
from studio.errors import RunError
from studio.hardware.objectives import OBJECTIVES
from studio.runs import Run, checkpoint_step
from studio.training.checkpoints import newest_good_checkpoint
from studio.training.failure import MEMORY_HINT
from studio.training.methods.judged import least_rows

if TYPE_CHECKING:
    from studio.device import Device
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe
    from studio.training.setup import Base

LEAST_TOKENS = 64
"""Examples are not made shorter than this."""
_MOST_ACCUMULATION = 4096


@dataclass(frozen=True)
class RanOut:
    """Memory ran out in optimizer step `step`, and the run goes on from `checkpoint`.

    Without a checkpoint it goes on from the start; `weights_changed` says whether the weights in
    memory are no longer those of that point. `is_checkpointing`: gradient checkpointing was on.
    """

    step: int
    checkpoint: Path | None
    weights_changed: bool
    is_checkpointing: bool

    @property
    def resumed_step(self) -> int:
        """The step after which the run goes on."""
        return checkpoint_step(self.checkpoint) if self.checkpoint is not None else 0


@dataclass(frozen=True)
class Change:
    """Recipe values by dotted key, and what they mean, to follow "It goes on with"."""

    values: dict[str, Any]
    what: str


def ran_out(trainer: Any, began_at: Path | None, *, is_checkpointing: bool) -> RanOut:
    """What is left of a training in which memory ran out, kept in a checkpoint.

    `began_at` is the checkpoint from which this stretch went on. The last whole step is kept from
    memory, unless the optimizer was at work on the next one and may have changed some weights.
    """
    trainer.model.zero_grad()
    step, was_applying = trainer.state.global_step, trainer.reporter.is_applying
    checkpoint = began_at
    if was_applying:
        checkpoint, _ = newest_good_checkpoint(trainer.reporter.run)
    elif step > (checkpoint_step(began_at) if began_at is not None else 0):
        checkpoint = trainer.save_last_whole_step()
    return RanOut(step + 1, checkpoint, was_applying, is_checkpointing)


def next_change(recipe: Recipe, *, is_checkpointing: bool, longest_tokens: int) -> Change | None:
    """The mildest change that is left, None if there is none.

    `longest_tokens` is of the longest row, since a maximum above it changes nothing.
    """
    wanted = recipe.training
    if wanted.out_of_memory == "stop":
        return None
    batch = smaller_micro_batch(wanted.batch_size, wanted.effective_batch_size,
                                least=least_rows(recipe))
    if batch is not None:
        accumulation = wanted.effective_batch_size // batch
        return Change(
            {"training.batch_size": batch, "training.gradient_accumulation": accumulation},
            f"a micro-batch of {batch} instead of {wanted.batch_size} and {accumulation} of them "
            f"per step, so the effective batch stays {wanted.effective_batch_size}")
    if not is_checkpointing and kind_of(recipe.adapter.method).recomputes:
        return Change({"training.gradient_checkpointing": True},
                      "gradient checkpointing, which computes some things twice to save memory")
    if wanted.out_of_memory != "shorten":
        return None
    return _shorter_answers(recipe) if OBJECTIVES[wanted.method].writes else \
        _shorter_examples(recipe, longest_tokens)


def _shorter_examples(recipe: Recipe, longest_tokens: int) -> Change | None:
    tokens = max(LEAST_TOKENS, min(recipe.data.max_length, longest_tokens) // 2)
    if tokens >= recipe.data.max_length:
        return None
    examples, longer = ("rows of text", "divided") if recipe.training.method == "pretrain" else \
        ("examples", "cut")
    return Change({"data.max_length": tokens},
                  f"{examples} of at most {tokens:,} tokens instead of "
                  f"{recipe.data.max_length:,}; longer ones are {longer}, so the losses before and "
                  "after cannot be compared")


def _shorter_answers(recipe: Recipe) -> Change | None:
    before = recipe.reinforcement.answer_tokens
    tokens = max(LEAST_TOKENS, before // 2)
    if tokens >= before:
        return None
    return Change({"reinforcement.answer_tokens": tokens},
                  f"answers of at most {tokens:,} tokens instead of {before:,}; longer ones are "
                  "cut, so the rewards before and after cannot be compared")


def smaller_micro_batch(batch: int, effective: int, *, least: int = 1) -> int | None:
    """The largest divisor of `effective` from `least` to half of `batch`."""
    fitting = (size for size in range(batch // 2, least - 1, -1)
               if effective % size == 0 and effective // size <= _MOST_ACCUMULATION)
    return next(fitting, None)


def adapted(recipe: Recipe, run: Run, found: RanOut, base: Base, device: Device,
            longest_tokens: int) -> Recipe:
    """`recipe` with the next change, told in the run. Raises RunError when none is left."""
    change = next_change(recipe, is_checkpointing=found.is_checkpointing,
                         longest_tokens=longest_tokens)
    if change is None:
        raise RunError(f"The memory was not enough for step {found.step}{_tried(recipe)}.",
                       settings_that_fit(recipe, base.shape, device, base.free_bytes))
    tell_adapted(run, change, found.resumed_step,
                 f"Memory ran out in step {found.step}. {_where(found)}")
    return recipe.with_values(change.values)


def settings_that_fit(
    recipe: Recipe, shape: ModelShape, device: Device, free_bytes: int
) -> str:
    """The fewest changes with which `recipe` fits into `free_bytes`, or what else would help."""
    from studio.hardware.cards import Place
    from studio.hardware.fit import make_fit, setting_text
    from studio.hardware.fit_advice import what_would_fit

    fit = make_fit(recipe, shape, device, free_bytes)
    if fit.fitted_already:
        return f"Close other programs that use {device.name}. {MEMORY_HINT}"
    if fit.fits:
        changes = "; ".join(f"{change.key} {setting_text(change.new)}" for change in fit.changes)
        return f"These settings would fit by the estimate: {changes}."
    return " ".join(what_would_fit(fit, shape, Place(device.name, device, free_bytes, True, "")))


def tell_adapted(run: Run, change: Change, step: int, why: str) -> None:
    """The event, with the sentence that a person reads."""
    avoid = " and ".join(f"{key} to {value}" for key, value in change.values.items())
    run.append("adapted", step=step, changes=change.values, text=(
        f"{why} It goes on with {change.what}. To avoid this, set {avoid} next time."))


def effective_recipe(run: Run, recipe: Recipe) -> Recipe:
    """`recipe` as memory forced `run` to change it; a resume keeps to that."""
    return recipe.with_values(run.story().adapted)


def adapt_after_death(run: Run) -> bool:
    """Change a run whose process the system ended, as it does when main memory runs out.

    True if a resume now needs less; False if nothing is left to change. Only the run's owner may
    call it.
    """
    recipe = effective_recipe(run, run.recipe)
    story = run.story()
    # Whether "auto" meant on was told when the training began.
    is_checkpointing = recipe.training.gradient_checkpointing is True or bool(
        story.plan.get("checkpointing"))
    change = next_change(recipe, is_checkpointing=is_checkpointing,
                         longest_tokens=recipe.data.max_length)
    if change is None:
        return False
    checkpoint, _ = newest_good_checkpoint(run)
    step = checkpoint_step(checkpoint) if checkpoint is not None else 0
    tell_adapted(run, change, step, "The system ended the training's process, as it does when main "
                 "memory runs out.")
    return True


class StartWeights:
    """The trained weights of a model as they are now, in main memory."""

    def __init__(self, model: Any) -> None:
        self._weights = {name: weight.detach().to("cpu", copy=True)
                         for name, weight in model.named_parameters() if weight.requires_grad}

    def restore(self, model: Any) -> None:
        """Make those of `model` the same again."""
        import torch

        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name in self._weights:
                    weight.copy_(self._weights[name])


def _where(found: RanOut) -> str:
    if not found.weights_changed:
        return ("Nothing was learned yet." if found.checkpoint is None else
                f"What was learned until step {found.resumed_step} is kept.")
    begins = (f"the checkpoint at step {found.resumed_step}" if found.checkpoint is not None
              else "the beginning, since there is no checkpoint yet")
    return ("The optimizer was at work and may have changed a part of the weights, so the run goes "
            f"back to {begins}.")


def _tried(recipe: Recipe) -> str:
    if recipe.training.out_of_memory == "stop":
        return ", and training.out_of_memory stop wants the run to end there"
    return (f", even with a micro-batch of {recipe.training.batch_size} and gradient checkpointing")
