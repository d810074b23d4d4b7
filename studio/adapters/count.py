"""How many parameters a recipe trains, and how large its adapter will be on disk.

A closed form over the model's shape, equal to PEFT's own count, in well under a millisecond:
no weights, no torch. LoRA (arXiv:2106.09685) adds rank x (inputs + outputs) to a linear, DoRA
(arXiv:2402.09353) another vector of its outputs; rsLoRA only scales.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from studio.adapters.methods import checked_targets
from studio.adapters.size import ITEM_BYTES, adapter_file_bytes
from studio.adapters.targets import Target, saved_modules
from studio.device import pick_device
from studio.models.shape import ModelShape
from studio.recipe import Adapter, Recipe


@dataclass(frozen=True)
class TrainableCount:
    """`total` counts base and adapter, as PEFT's `print_trainable_parameters` does."""

    trainable: int
    total: int
    percent: float
    adapter_bytes: int


def count_trainable(recipe: Recipe, shape: ModelShape) -> TrainableCount:
    """Exact counts for `recipe` on a model of `shape`.

    `adapter_bytes` is the size of adapter_model.safetensors (of the weights when every weight is
    trained). Raises ModelError for targets that the model does not have.
    """
    adapter = recipe.adapter
    trainable = trainable_parameters(recipe, shape)
    if adapter.method == "none":
        item = ITEM_BYTES[base_dtype_name(recipe)]
        return TrainableCount(trainable, trainable, 100.0, trainable * item)
    targets = checked_targets(adapter, shape)
    saved = saved_modules(adapter, shape)
    added = _matrices(adapter, targets) + _copies(shape, saved)
    total = shape.parameters + added
    size = adapter_file_bytes(adapter, shape, targets, saved, base_dtype_name(recipe))
    return TrainableCount(trainable, total, 100.0 * trainable / total, size)


def trainable_parameters(recipe: Recipe, shape: ModelShape) -> int:
    """How many parameters `recipe` trains; many times faster than with the file's size.

    Raises ModelError for targets that the model does not have.
    """
    adapter = recipe.adapter
    if adapter.method == "none":
        return shape.parameters
    targets = checked_targets(adapter, shape)
    saved = saved_modules(adapter, shape)
    return (_matrices(adapter, targets) + _copies(shape, saved)
            + _trained_biases(adapter, shape, targets, saved))


def _matrices(adapter: Adapter, targets: tuple[Target, ...]) -> int:
    return sum(target_parameters(target, use_dora=adapter.use_dora) for target in targets)


def _copies(shape: ModelShape, saved: tuple[str, ...]) -> int:
    """Parameters of the modules that are copied and trained in full."""
    return sum(shape.modules[path] for path in saved)


def target_parameters(target: Target, *, use_dora: bool = False) -> int:
    """Adapter parameters on all modules of one target: rank x (inputs + outputs) each."""
    linear = target.linear
    each = target.rank * linear.experts * (linear.inputs + linear.outputs)
    return linear.count * (each + (linear.outputs if use_dora else 0))


def _trained_biases(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...], saved: tuple[str, ...]
) -> int:
    """Base biases that are trained in place; those inside fully trained copies count there."""
    if adapter.bias == "none":
        return 0
    if adapter.bias == "lora_only":
        return sum(t.linear.outputs * t.linear.count for t in targets if t.linear.has_bias)
    inside = tuple(f"{path}." for path in saved)
    return sum(math.prod(shape.tensors[name]) for name in shape.bias_names
               if not name.startswith(inside))


def base_dtype_name(recipe: Recipe) -> str:
    """The number format of the base's weights: the recipe's, or this device's fast one."""
    return pick_device().fast_dtype if recipe.model.dtype == "auto" else recipe.model.dtype
