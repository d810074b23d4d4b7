"""What merging and writing a GGUF take: the memory of this PC at the peak, and disk.

Follows `studio/export/merge.py`, which reads, changes and writes one layer at a time, or loads the
base as it is stored where that cannot be, and `studio/export/gguf.py`, whose converter is a process
that converts one tensor at a time. File sizes come from the shapes of the tensors and are met
within one or two percent.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from studio.adapters.count import trainable_parameters
from studio.adapters.targets import targets_of
from studio.hardware.other_jobs import LIBRARIES_BYTES, JobEstimate
from studio.hardware.parts import PartBytes, millions, part
from studio.hardware.workload import DTYPE_BYTES
from studio.models.gguf_mixture import mixture, tensor_bytes
from studio.models.gguf_names import gguf_model, gguf_tensors
from studio.models.stored_plainly import STORED_PLAINLY
from studio.recipe import Recipe

if TYPE_CHECKING:
    from studio.models.shape import ModelShape
    from studio.recipe import Adapter

GGUF_WORD_BYTES = 37
"""Per vocabulary entry in a GGUF: its text with a length, its kind, and a merge rule (SmolLM2)."""
FILE_WORD_BYTES = 80
"""Per vocabulary entry in tokenizer.json: 72 to 134 in those of SmolLM2, Qwen 3 and Llama 3."""
_TORCH_BYTES = 0.29e9
"""torch once imported, and what its first use adds. 232 MB and 60 MB measured on Linux."""
BASIS = ("Rests on merges and conversions in fresh processes on Linux, models of 135 to 370 "
         "million parameters.")


def estimate_merge(shape: ModelShape, adapter: Adapter) -> JobEstimate:
    """Memory and disk of merging `adapter` into a base of `shape`, in the base's stored format.

    Raises ModelError for adapter targets that the model does not have.
    """
    if adapter.trains_base:
        # Nothing is merged: the folder is copied, a buffer at a time.
        parts: tuple[PartBytes, ...] = (_overhead("this program"),)
        moment = "the copying of the files"
    else:
        parts = (_merged_weights(shape, adapter), *_held(shape, adapter),
                 _update(shape, adapter),
                 _without_peft() if _is_plain(shape, adapter) else _overhead("this program"))
        moment = "the update of the largest layer"
    return JobEstimate("merge", "main memory", parts, moment, BASIS, _merge_assumptions(shape),
                       merged_disk(shape))


def _merged_weights(shape: ModelShape, adapter: Adapter) -> PartBytes:
    """Those of the largest adapted layer, or all where PEFT has to see the base as a whole."""
    item = stored_bytes(shape)
    if _is_loaded(shape, adapter):
        return part("weights", shape.parameters * item,
                    f"{millions(shape.parameters)} parameters as they are stored, in "
                    f"{shape.dtype_name}: {item} bytes")
    largest = _largest(shape, adapter)
    return part("weights", largest * item,
                f"{millions(largest)} numbers of the largest adapted layer as they are stored, in "
                f"{shape.dtype_name}: {item} bytes")


def _held(shape: ModelShape, adapter: Adapter) -> tuple[PartBytes, ...]:
    """The adapter, which is read piece by piece where PEFT is not needed."""
    if _is_plain(shape, adapter):
        return ()
    trained = trainable_parameters(Recipe(adapter=adapter), shape)
    return (part("adapter", 4 * trained, f"{millions(trained)} trained parameters in 32 bits"),)


def _is_loaded(shape: ModelShape, adapter: Adapter) -> bool:
    """Whether the base is loaded as a whole: see `CannotStream` in studio/export."""
    return (adapter.method == "adalora" or adapter.init == "loftq"
            or any(target.linear.kind in ("experts", "router")
                   for target in targets_of(adapter, shape)))


def _is_plain(shape: ModelShape, adapter: Adapter) -> bool:
    """Whether torch alone does it: see studio/export/plain_lora.py."""
    return (shape.model_type in STORED_PLAINLY and adapter.method == "lora"
            and adapter.init != "loftq" and not adapter.use_dora and adapter.bias == "none"
            and not adapter.modules_to_save
            and all(target.linear.kind == "linear"
                    and target.linear.outputs != shape.vocabulary
                    for target in targets_of(adapter, shape)))


def estimate_gguf(shape: ModelShape, outtype: str) -> JobEstimate:
    """Memory and disk of writing a model of `shape` as a GGUF of `outtype`."""
    largest = max(math.prod(size) for size in shape.tensors.values())
    item = stored_bytes(shape)
    tensor = part("weights", largest * (item + 4),
                  f"{millions(largest)} numbers of the largest tensor as they are stored and in "
                  f"32 bits: {item} + 4 bytes")
    return JobEstimate(
        "gguf", "main memory", (tensor, _overhead("the converter's process")),
        "the conversion of the largest tensor", BASIS,
        ("The converter takes one tensor after the other and keeps none.",
         "The model is merged already; its folder is not counted."), gguf_disk(shape, outtype))


def merged_disk(shape: ModelShape) -> tuple[PartBytes, ...]:
    """The files of a merged model folder."""
    item = stored_bytes(shape)
    words = shape.vocabulary
    return (
        part("model", shape.parameters * item,
             f"{millions(shape.parameters)} parameters in {shape.dtype_name}: {item} bytes"),
        part("tokenizer", words * FILE_WORD_BYTES,
             f"{words:,} vocabulary entries at about {FILE_WORD_BYTES} bytes"),
    )


def gguf_disk(shape: ModelShape, outtype: str) -> tuple[PartBytes, ...]:
    """The GGUF file. llama.cpp keeps vectors, such as norms and biases, in 32 bits, and mixes
    formats in its k-quants."""
    tensors = gguf_tensors(shape)
    formats = mixture(tensors, gguf_model(shape), outtype)
    weights: Counter[str] = Counter()
    size = 0
    for one in tensors:
        name = formats.get(one.name, "F32")
        weights[name] += math.prod(one.shape)
        size += tensor_bytes(one.shape, name)
    text = ", ".join(f"{millions(count)} weights in {name}" for name, count in
                     weights.most_common())
    return (
        part("model", size, text),
        part("vocabulary", shape.vocabulary * GGUF_WORD_BYTES,
             f"{shape.vocabulary:,} entries at about {GGUF_WORD_BYTES} bytes"),
    )


def _update(shape: ModelShape, adapter: Adapter) -> PartBytes:
    """One layer's update in full: the product of its matrices; torch adds it to a 16-bit weight in
    32 bits, which takes the weight and the sum in these."""
    copies = 3
    if adapter.use_dora:
        copies = 5  # with the new weight, its length, and the weight that it is made of
    largest = _largest(shape, adapter)
    return part("activations", 4 * copies * largest,
                f"The update of the largest adapted layer: {copies} x {millions(largest)} numbers "
                "in 32 bits")


def _largest(shape: ModelShape, adapter: Adapter) -> int:
    return max(target.linear.experts * target.linear.inputs * target.linear.outputs
               for target in targets_of(adapter, shape))


def _without_peft() -> PartBytes:
    return part("overhead", _TORCH_BYTES, "torch in this program, without Transformers and PEFT")


def _overhead(where: str) -> PartBytes:
    return part("overhead", LIBRARIES_BYTES, f"The libraries in {where}")


def stored_bytes(shape: ModelShape) -> int:
    """Bytes of each number in the model's files; 4 where its configuration names no format."""
    return DTYPE_BYTES.get(shape.dtype_name, 4)


def _merge_assumptions(shape: ModelShape) -> tuple[str, ...]:
    return (f"The base's files are in {shape.dtype_name}, as its config.json says.",
            "Merging happens in main memory and in full precision, whatever the base was trained "
            "in.")
