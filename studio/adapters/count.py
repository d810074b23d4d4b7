"""How many parameters a recipe trains, and how large its adapter will be on disk.

A closed form over the model's shape, equal to PEFT's own count, in well under a millisecond:
no weights, no torch. LoRA (arXiv:2106.09685) adds rank x (inputs + outputs) to a linear, DoRA
(arXiv:2402.09353) another vector of its outputs; rsLoRA only scales. AdaLoRA (arXiv:2303.10512)
adds as many singular values as its rank, VeRA (arXiv:2310.11454) rank + outputs, IA3
(arXiv:2205.05638) one factor for each output or input, OFT (arXiv:2306.07280) the upper half of a
skew-symmetric matrix for each block. Prompt tuning (arXiv:2104.08691) learns embeddings, prefix
tuning (arXiv:2101.00190) keys and values of every layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from studio.adapters.kinds import kind_of
from studio.adapters.limits import checked_targets, require_possible
from studio.adapters.ranks import Target, initial_rank
from studio.adapters.size import ITEM_BYTES, adapter_file_bytes, virtual_width
from studio.adapters.targets import saved_modules, takes_biases
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
    require_possible(recipe, shape)
    trainable = trainable_parameters(recipe, shape)
    if adapter.trains_base:
        item = ITEM_BYTES[base_dtype_name(recipe)]
        return TrainableCount(trainable, trainable, 100.0, trainable * item)
    targets = checked_targets(adapter, shape)
    saved = saved_modules(adapter, shape)
    added = _added(adapter, shape, targets) + _copies(shape, saved)
    if adapter.method == "adalora":
        # PEFT counts the number that scales each module, which is not trained.
        added += sum(target.linear.count for target in targets)
    # PEFT trains a copy of the judge's head and keeps the one that was there.
    total = base_parameters(recipe, shape) + added + _judge_head(recipe, shape)
    size = adapter_file_bytes(adapter, shape, targets, saved, base_dtype_name(recipe),
                              head=_judge_head(recipe, shape))
    return TrainableCount(trainable, total, 100.0 * trainable / total, size)


def trainable_parameters(recipe: Recipe, shape: ModelShape) -> int:
    """How many parameters `recipe` trains; many times faster than with the file's size.

    Raises ModelError for targets that the model does not have.
    """
    adapter = recipe.adapter
    if adapter.trains_base:
        return base_parameters(recipe, shape)
    targets = checked_targets(adapter, shape)
    saved = saved_modules(adapter, shape)
    return (_added(adapter, shape, targets) + _copies(shape, saved)
            + _trained_biases(adapter, shape, targets, saved) + _judge_head(recipe, shape))


def base_parameters(recipe: Recipe, shape: ModelShape) -> int:
    """Of the base as it is loaded: a reward model has one number in the place of the words."""
    if recipe.training.method != "reward":
        return shape.parameters
    words = 0 if shape.tied_embeddings else sum(
        shape.modules[path] for linear in shape.named_only for path in linear.modules
        if linear.kind != "embedding")
    return shape.parameters - words + _judge_head(recipe, shape)


def _judge_head(recipe: Recipe, shape: ModelShape) -> int:
    """Parameters of a reward model's head, which is always trained."""
    return shape.hidden if recipe.training.method == "reward" else 0


def checkpoint_adapter_bytes(recipe: Recipe, shape: ModelShape) -> int:
    """Size of the adapter in a checkpoint, which is not that of the result where the start is
    taken out at the end, or rank away on the way."""
    adapter = _while_training(recipe.adapter)
    targets = checked_targets(recipe.adapter, shape)
    size = adapter_file_bytes(adapter, shape, targets, saved_modules(adapter, shape),
                              base_dtype_name(recipe), head=_judge_head(recipe, shape))
    if adapter.method == "adalora":
        # The importance of each parameter on average, and how much it varies.
        size += 2 * ITEM_BYTES["float32"] * _added(adapter, shape, targets)
    return size


def start_bytes(recipe: Recipe, shape: ModelShape) -> int:
    """Size of the file with a start that was taken out of the base; 0 for other starts."""
    if not recipe.adapter.takes_apart:
        return 0
    return adapter_file_bytes(_while_training(recipe.adapter), shape,
                              checked_targets(recipe.adapter, shape), (), "float32")


def _while_training(adapter: Adapter) -> Adapter:
    """The adapter with the matrices that it has before the result is made of it."""
    rank = initial_rank(adapter) if adapter.method == "adalora" else adapter.rank
    return adapter.model_copy(update={"init": "default", "rank": rank})


def _added(adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]) -> int:
    if not kind_of(adapter.method).sits_inside:
        return adapter.virtual_tokens * virtual_width(adapter, shape)
    return sum(target_parameters(target, adapter) for target in targets)


def kept_beside(recipe: Recipe, shape: ModelShape) -> int:
    """Numbers that the adapter keeps in memory and does not train: AdaLoRA's importance of each
    parameter (now, on average, and how much it varies), VeRA's shared matrices."""
    adapter = recipe.adapter
    if adapter.method == "adalora":
        return 3 * _added(adapter, shape, checked_targets(adapter, shape))
    if adapter.method == "vera":
        linears = [target.linear for target in checked_targets(adapter, shape)]
        return adapter.rank * (max(one.inputs for one in linears)
                               + max(one.outputs for one in linears))
    return 0


def _copies(shape: ModelShape, saved: tuple[str, ...]) -> int:
    """Parameters of the modules that are copied and trained in full."""
    return sum(shape.modules[path] for path in saved)


def target_parameters(target: Target, adapter: Adapter) -> int:
    """Adapter parameters on all modules of one target."""
    linear, rank = target.linear, target.rank
    if adapter.method == "ia3":
        each = linear.inputs if target.scales_inputs else linear.outputs
    elif adapter.method == "oft":
        each = rank * block_parameters(adapter)
    elif adapter.method == "vera":
        each = rank + linear.outputs
    else:
        each = rank * linear.experts * (linear.inputs + linear.outputs)
        if adapter.method == "adalora":
            each += rank
        elif adapter.use_dora:
            each += linear.outputs
    return linear.count * each


def block_parameters(adapter: Adapter) -> int:
    """Of one block of OFT: what lies above the diagonal of a skew-symmetric matrix."""
    return adapter.block_size * (adapter.block_size - 1) // 2


def _trained_biases(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...], saved: tuple[str, ...]
) -> int:
    """Base biases that are trained in place; those inside fully trained copies count there."""
    if adapter.bias == "none" or not takes_biases(adapter):
        return 0
    if adapter.bias == "lora_only":
        return sum(t.linear.outputs * t.linear.count for t in targets if t.linear.has_bias)
    inside = tuple(f"{path}." for path in saved)
    return sum(math.prod(shape.tensors[name]) for name in shape.bias_names
               if not name.startswith(inside))


def base_dtype_name(recipe: Recipe) -> str:
    """The number format of the base's weights: the recipe's, or this device's fast one."""
    return pick_device().fast_dtype if recipe.model.dtype == "auto" else recipe.model.dtype
