"""What merging an adapter takes: the memory of this PC at the peak, and disk.

Follows `studio/export/merge.py`, which reads, changes and writes one module at a time, or loads the
base as it is stored where that cannot be. Of a recipe here; of an adapter that is there already in
`studio/export/merge_way.py`, by the same arithmetic.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio.adapters.count import trainable_parameters
from studio.adapters.targets import targets_of
from studio.hardware.export_memory import BASIS, merged_disk, overhead, stored_bytes
from studio.hardware.other_jobs import JobEstimate
from studio.hardware.parts import PartBytes, millions, part
from studio.models.stored_plainly import STORED_PLAINLY
from studio.recipe import Recipe

if TYPE_CHECKING:
    from studio.models.shape import ModelShape
    from studio.recipe import Adapter

Way = Literal["copied", "plain", "layers", "whole"]
"""The files are copied; torch alone merges a layer at a time; PEFT's layers do; the base is loaded
as a whole."""
UPDATE_COPIES, DORA_COPIES = 3, 5
"""Of a layer's update in 32 bits: the product of its matrices; torch adds it to a 16-bit weight in
32 bits, which takes the weight and the sum in these. DoRA: with the new weight, its length, and
the weight that it is made of."""
STACK_UPDATE_NUMBERS = 1 << 22
"""Experts are updated a few at a time: see studio/export/stream_experts.py."""
_TORCH_BYTES = 0.29e9
"""torch once imported, and what its first use adds. 232 MB and 60 MB measured on Linux."""


@dataclass(frozen=True)
class MergeSizes:
    """In numbers: `module` of the largest module of the base that is held at once, `moved` of what
    is copied while its experts are put together or taken apart, `update` of the largest update,
    of which there are `copies`, `adapter` of what is held of the adapter."""

    module: int
    update: int
    copies: int
    adapter: int
    moved: int = 0


def estimate_merge(shape: ModelShape, adapter: Adapter) -> JobEstimate:
    """Memory and disk of merging an adapter of the recipe into a base of `shape`, in the base's
    stored format.

    Raises ModelError for adapter targets that the model does not have.
    """
    if adapter.trains_base:
        return merge_estimate(shape, "copied", MergeSizes(0, 0, 0, 0))
    way: Way = ("whole" if adapter.method == "adalora" or adapter.init == "loftq"
                else "plain" if _is_plain(shape, adapter) else "layers")
    trained = 0 if way == "plain" else trainable_parameters(Recipe(adapter=adapter), shape)
    return merge_estimate(shape, way, _sizes(shape, adapter, trained))


def merge_estimate(shape: ModelShape, way: Way, sizes: MergeSizes) -> JobEstimate:
    """The parts and the moment of the peak. The files of a run that trained every weight are
    copied, a buffer at a time."""
    if way == "copied":
        parts: tuple[PartBytes, ...] = (overhead("this program"),)
        moment = "the copying of the files"
    else:
        parts = (_weights(shape, way, sizes), *_adapter(sizes), _working(shape, way, sizes),
                 _without_peft() if way == "plain" else overhead("this program"))
        moment = "the update of the largest layer"
    return JobEstimate("merge", "main memory", parts, moment, BASIS, _assumptions(shape),
                       merged_disk(shape))


def _weights(shape: ModelShape, way: Way, sizes: MergeSizes) -> PartBytes:
    item = stored_bytes(shape)
    stored = f"as they are stored, in {shape.dtype_name}: {item} bytes"
    if way == "whole":
        return part("weights", shape.parameters * item,
                    f"{millions(shape.parameters)} parameters {stored}")
    return part("weights", sizes.module * item,
                f"{millions(sizes.module)} numbers of the largest adapted layer {stored}")


def _adapter(sizes: MergeSizes) -> tuple[PartBytes, ...]:
    """Where PEFT is not needed, it is read piece by piece."""
    if not sizes.adapter:
        return ()
    return (part("adapter", 4 * sizes.adapter,
                 f"{millions(sizes.adapter)} trained parameters in 32 bits"),)


def _working(shape: ModelShape, way: Way, sizes: MergeSizes) -> PartBytes:
    """The update, or what is copied when experts are taken apart: one comes after the other."""
    update, moved = 4 * sizes.copies * sizes.update, sizes.moved * stored_bytes(shape)
    if way == "layers" and moved > update:
        return part("activations", moved, f"{millions(sizes.moved)} numbers of the experts once "
                    "more while they are taken apart")
    return part("activations", update,
                f"The update of the largest adapted layer: {sizes.copies} x "
                f"{millions(sizes.update)} numbers in 32 bits")


def _is_plain(shape: ModelShape, adapter: Adapter) -> bool:
    """Whether torch alone does it: see studio/export/plain_lora.py."""
    return (shape.model_type in STORED_PLAINLY and adapter.method == "lora"
            and not adapter.use_dora and adapter.bias == "none"
            and not adapter.modules_to_save
            and all(target.linear.kind == "linear"
                    and target.linear.outputs != shape.vocabulary
                    for target in targets_of(adapter, shape)))


def _sizes(shape: ModelShape, adapter: Adapter, trained: int) -> MergeSizes:
    linears = [target.linear for target in targets_of(adapter, shape)]
    single = [one.inputs * one.outputs for one in linears if one.kind != "experts"]
    stacks: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for one in linears:
        if one.kind == "experts":
            for path in one.modules:
                stacks[path.rpartition(".")[0]].append((one.experts, one.inputs * one.outputs))
    copies = DORA_COPIES if adapter.use_dora else UPDATE_COPIES
    return sizes_of(single, list(stacks.values()), copies, trained)


def sizes_of(single: list[int], stacks: list[list[tuple[int, int]]], copies: int,
             adapter: int) -> MergeSizes:
    """`single` are the numbers of layers that are merged by themselves; `stacks` the parameters of
    each module of experts: how many experts, and the numbers of one."""
    largest = max(single, default=0)
    if not stacks:
        return MergeSizes(largest, largest, copies, adapter)
    whole = max(stacks, key=lambda its: sum(experts * each for experts, each in its))
    # At least two experts, or as many as are updated at once.
    update = max(min(experts * each, max(2 * each, STACK_UPDATE_NUMBERS))
                 for experts, each in whole)
    return MergeSizes(max(largest, sum(experts * each for experts, each in whole)),
                      max(update, largest), copies, adapter,
                      max(experts * each for experts, each in whole))


def _without_peft() -> PartBytes:
    return part("overhead", _TORCH_BYTES, "torch in this program, without Transformers and PEFT")


def _assumptions(shape: ModelShape) -> tuple[str, ...]:
    return (f"The base's files are in {shape.dtype_name}, as its config.json says.",
            "Merging happens in main memory and in full precision, whatever the base was trained "
            "in.")
