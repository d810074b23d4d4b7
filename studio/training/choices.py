"""How a recipe is computed on this device: checkpointing and rows. One place decides.

Pure; every choice comes with a sentence for the person.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from studio.adapters.kinds import kind_of
from studio.device import Device
from studio.files import readable_bytes
from studio.hardware.workload import MOST_JOINED_TOKENS, Examples
from studio.recipe import Recipe

if TYPE_CHECKING:
    from studio.hardware.free_now import Comparison
    from studio.hardware.precision import Precision
    from studio.models.shape import ModelShape

def choose_checkpointing(
    recipe: Recipe, shape: ModelShape, device: Device, *, free_bytes: int, examples: Examples,
) -> tuple[bool, str]:
    """Whether activations are computed twice to save memory, and why.

    `free_bytes` is what the device had free before the base model was loaded.
    """
    from studio.hardware.memory import checkpointing_needed

    wanted = recipe.training.gradient_checkpointing
    if not kind_of(recipe.adapter.method).recomputes:
        return False, "No gradient checkpointing: the learned prefix does not go with it."
    if wanted != "auto":
        return bool(wanted), f"Gradient checkpointing {'on' if wanted else 'off'}, as asked."
    if checkpointing_needed(recipe, shape, device, free_bytes, examples=examples):
        return True, (f"Gradient checkpointing, since without it {readable_bytes(free_bytes)} of "
                      "free memory might not be enough.")
    return False, (f"No gradient checkpointing: {readable_bytes(free_bytes)} of free memory are "
                   "enough without it.")


def compare_with_free(
    recipe: Recipe, shape: ModelShape, device: Device, *, kept_bytes: int = 0
) -> Comparison:
    """The estimate at the recipe's maximum length beside what is free now: advice, no condition.

    `kept_bytes` are taken by a base model that the run goes on using.

    Raises SetupError where a GPU no longer answers.
    """
    from studio.hardware.free_now import compare, free_now
    from studio.hardware.memory import estimate

    free = free_now(device)
    free = dataclasses.replace(free, free_bytes=free.free_bytes + kept_bytes)
    return compare(estimate(recipe, shape, device, free_bytes=free.free_bytes), free)


def choose_joined_rows(
    recipe: Recipe, device: Device, longest_tokens: int, attention: str
) -> tuple[bool, str]:
    """Whether the examples of a micro-batch share one row instead of being padded, and why.

    `longest_tokens` is of the longest row that one example or one packed row makes.
    """
    if recipe.training.method not in ("sft", "pretrain"):
        return False, "The answers of a micro-batch are padded to the longest of them."
    if not kind_of(recipe.adapter.method).joins_rows:
        return False, "Examples are padded: the learned tokens stand before each of them."
    if recipe.speed.join_rows is False:
        return False, "Examples are padded and never share a row, as asked."
    if recipe.data.packing:
        return True, "Short examples are packed into full rows; they do not see each other."
    if recipe.training.batch_size == 1:
        return False, "One example at a time: nothing to pad."
    if "flash" in attention:
        return True, "No padding: the examples of a micro-batch lie end to end."
    tokens = recipe.training.batch_size * longest_tokens
    if recipe.speed.join_rows is True or (device.kind == "cpu" and tokens <= MOST_JOINED_TOKENS):
        return True, "No padding: the examples of a micro-batch lie end to end in one row."
    return False, "The examples of a micro-batch are padded to the longest of them."


def choose_fused_layers(
    recipe: Recipe, device: Device, precision: Precision
) -> tuple[bool, str]:
    """Whether layers are computed in one go where they can be, and why.

    auto does so on CPUs, where it was measured; asked for, adapters are fused on GPUs too.
    """
    wanted = recipe.speed.fused_layers
    if wanted is False:
        return False, "Layers are computed as their libraries write them, as asked."
    if precision.autocast is not None:
        return False, ("Layers are computed as their libraries write them: the arithmetic is in "
                       "another number format than the weights.")
    if device.kind != "cpu" and wanted == "auto":
        return False, ("Layers are computed as their libraries write them; speed.fused_layers "
                       "fuses adapters with theirs.")
    return True, "Fused layers: an adapter is computed with its layer, and less is kept for it."


def choose_scores(recipe: Recipe) -> tuple[bool, list[str]]:
    """Whether prompts are left out of the head's product; a sentence only where that is unusual."""
    if recipe.speed.skip_prompt_logits is False and recipe.training.method in ("sft", "pretrain"):
        return False, ["The vocabulary's scores are computed for prompts too, as asked."]
    return True, []
