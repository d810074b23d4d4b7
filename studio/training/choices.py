"""How a recipe is computed on this device: checkpointing, rows, layers. One place decides.

Pure; every choice comes with a sentence for the person.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from studio.adapters.kinds import kind_of
from studio.device import Device
from studio.extras import install_command
from studio.files import readable_bytes
from studio.hardware.fused_layers import wants_fused_layers
from studio.hardware.objectives import OBJECTIVES
from studio.hardware.workload import MOST_JOINED_TOKENS, Examples
from studio.recipe import Recipe
from studio.training.grouping import padding_share

if TYPE_CHECKING:
    from studio.hardware.free_now import Comparison
    from studio.hardware.precision import Precision
    from studio.models.shape import ModelShape

PACKED = "Short examples are packed into full rows; they do not see each other."
"""What a run says that packs."""
_PADDING_WORTH_GROUPING = 0.2
"""Share of the computed tokens; below it, other orders are not worth much."""
_STEPS_WORTH_GROUPING = 32
"""Of an epoch: with fewer there are too few lengths to choose from."""
_STEPS_WORTH_COMPILING = 300
"""Compiling takes a minute or so, in which a GPU goes through about as many steps of a small
model."""


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
    if not OBJECTIVES[recipe.training.method].joins:
        return False, "The answers of a micro-batch are padded to the longest of them."
    if not kind_of(recipe.adapter.method).joins_rows:
        return False, "Examples are padded: the learned tokens stand before each of them."
    if recipe.speed.join_rows is False:
        return False, "Examples are padded and never share a row, as asked."
    if recipe.data.packing:
        return True, PACKED
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
    autocast = precision.autocast is not None
    if wants_fused_layers(recipe, device.kind, autocast=autocast):
        return True, "Fused layers: an adapter is computed with its layer, and less is kept for it."
    if recipe.speed.fused_layers is False:
        return False, "Layers are computed as their libraries write them, as asked."
    if autocast:
        return False, ("Layers are computed as their libraries write them: the arithmetic is in "
                       "another number format than the weights.")
    return False, ("Adapters are computed as PEFT writes them; speed.fused_layers computes them "
                   "with their layers.")


def choose_liger(
    recipe: Recipe, device: Device, precision: Precision, *, suits: bool, installed: bool
) -> tuple[bool, list[str]]:
    """Whether Liger's kernels compute norms and gated layers, and why; nothing to say elsewhere
    than on NVIDIA GPUs.

    `suits`: Liger has the model's architecture; `installed`: its package is here.
    """
    if device.kind != "cuda" or recipe.speed.fused_layers is False or precision.autocast:
        return False, []
    if not suits:
        return False, ["Liger's kernels are not used: they do not have this model's layers."]
    if not installed and sys.platform != "linux":
        return False, []
    if not installed:
        return False, ["Liger's kernels, which compute norms and gated layers, are not installed: "
                       f"{install_command(['liger-kernel'])}"]
    return True, ["Norms and gated layers are computed by Liger's kernels."]


def choose_compile(
    recipe: Recipe, device: Device, *, steps: int, checkpointing: bool, liger: bool
) -> tuple[bool, str]:
    """Whether torch compiles the decoder layers, and why; `steps` are the optimizer's of the run.

    auto never does so on a CPU, where the fused layers were measured to be faster.
    """
    wanted = recipe.speed.compile
    if wanted != "auto":
        return wanted, ("The layers are compiled, as asked; the first steps take much longer."
                        if wanted else "Nothing is compiled, as asked.")
    if device.kind == "cpu":
        return False, "Nothing is compiled: on a CPU fused layers are faster."
    if device.kind != "cuda" or recipe.model.quantization != "none":
        return False, "Nothing is compiled: this device or number format gains nothing by it."
    if OBJECTIVES[recipe.training.method].writes:
        return False, "Nothing is compiled: most of the time goes into writing answers."
    if liger or recipe.speed.fused_layers is True:
        return False, "Nothing is compiled: the layers have faster arithmetic already."
    if checkpointing:
        return False, "Nothing is compiled, since activations are computed twice to save memory."
    if steps < _STEPS_WORTH_COMPILING:
        return False, f"Nothing is compiled: it does not pay back within {steps:,} steps."
    return True, f"The layers are compiled, which pays back within {steps:,} steps."


def choose_grouping(
    recipe: Recipe, lengths: Sequence[int], *, joined: bool, before: bool | None = None
) -> tuple[bool, list[str]]:
    """Whether examples of similar length come together, and why; nothing to say where nothing is
    padded.

    `lengths` are the tokens of each row, `before` is what the run began with: the order must not
    change within it.
    """
    wanted, training = recipe.speed.group_by_length, recipe.training
    if joined or OBJECTIVES[training.method].writes:
        return False, []
    if wanted is False:
        return False, ["Examples come in random order, whatever their length, as asked."]
    if wanted is True:
        return True, ["Examples of similar length come together, as asked."]
    if before is not None:
        return before, (["Examples of similar length come together, as when the run began."]
                        if before else [])
    return _auto_grouping(recipe, lengths)


def _auto_grouping(recipe: Recipe, lengths: Sequence[int]) -> tuple[bool, list[str]]:
    training = recipe.training
    if training.batch_size == 1:
        return False, []
    share = padding_share(lengths, training.batch_size, recipe.data.seed)
    if share <= _PADDING_WORTH_GROUPING:
        return False, [f"Examples come in random order: only {share:.0%} of the tokens are "
                       "padding."]
    if len(lengths) < _STEPS_WORTH_GROUPING * training.effective_batch_size:
        return False, [f"Examples come in random order, though {share:.0%} of the tokens are "
                       "padding: there are too few of them to put similar lengths together."]
    return True, [f"Examples of similar length come together: in random order {share:.0%} of the "
                  "tokens would be padding."]


def choose_scores(recipe: Recipe) -> tuple[bool, list[str]]:
    """Whether prompts are left out of the head's product; a sentence only where that is unusual."""
    if recipe.speed.skip_prompt_logits is False and OBJECTIVES[recipe.training.method].joins:
        return False, ["The vocabulary's scores are computed for prompts too, as asked."]
    return True, []
