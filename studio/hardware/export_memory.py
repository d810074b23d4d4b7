"""What merging and writing a GGUF take: the memory of this PC at the peak, and disk.

Follows `studio/export/merge.py`, which loads the base as it is stored and adds one layer's update
at a time, and `studio/export/gguf.py`, whose converter is a process that converts one tensor at a
time. File sizes come from the shapes of the tensors and are met within one or two percent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from studio.adapters.count import trainable_parameters
from studio.adapters.targets import targets_of
from studio.hardware.other_jobs import LIBRARIES_BYTES, JobEstimate
from studio.hardware.parts import PartBytes, millions, part
from studio.hardware.workload import DTYPE_BYTES
from studio.recipe import Recipe

if TYPE_CHECKING:
    from studio.models.shape import ModelShape
    from studio.recipe import Adapter

Q8_0_BLOCK = 32
"""Weights that share one 16-bit scale in q8_0: 34 bytes for 32 of them."""
_GGUF_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / Q8_0_BLOCK}
GGUF_WORD_BYTES = 37
"""Per vocabulary entry in a GGUF: its text with a length, its kind, and a merge rule (SmolLM2)."""
FILE_WORD_BYTES = 80
"""Per vocabulary entry in tokenizer.json: 72 to 134 in those of SmolLM2, Qwen 3 and Llama 3."""
BASIS = ("Rests on merges and conversions in fresh processes on Linux, models of 135 to 370 "
         "million parameters.")


def estimate_merge(shape: ModelShape, adapter: Adapter) -> JobEstimate:
    """Memory and disk of merging `adapter` into a base of `shape`, in the base's stored format.

    Raises ModelError for adapter targets that the model does not have.
    """
    item = stored_bytes(shape)
    weights = part("weights", shape.parameters * item,
                   f"{millions(shape.parameters)} parameters as they are stored, in "
                   f"{shape.dtype_name}: {item} bytes")
    if adapter.method != "none":
        trained = trainable_parameters(Recipe(adapter=adapter), shape)
        held = part("adapter", 4 * trained, f"{millions(trained)} trained parameters in 32 bits")
        parts: tuple[PartBytes, ...] = (weights, held, _update(shape, adapter),
                                        _overhead("this program"))
        moment = "the update of the largest layer"
    else:
        # Nothing is merged: the folder is copied, a buffer at a time.
        parts = (_overhead("this program"),)
        moment = "the copying of the files"
    return JobEstimate("merge", "main memory", parts, moment, BASIS, _merge_assumptions(shape),
                       merged_disk(shape))


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
    """The GGUF file. llama.cpp keeps vectors, such as norms and biases, in 32 bits.

    A tensor whose rows q8_0's blocks do not divide is kept in 16 bits.
    """
    each = _GGUF_BYTES[outtype]
    vectors, uneven, matrices = 0, 0, 0
    for size in _distinct_tensors(shape):
        count = math.prod(size)
        if len(size) < 2:
            vectors += count
        elif outtype == "q8_0" and size[-1] % Q8_0_BLOCK:
            uneven += count
        else:
            matrices += count
    text = f"{millions(matrices)} weights at {each:.4g} bytes, {millions(vectors)} at 4"
    text += f", {millions(uneven)} at 2, whose rows {Q8_0_BLOCK} does not divide" if uneven else ""
    return (
        part("model", matrices * each + vectors * 4 + uneven * 2, text),
        part("vocabulary", shape.vocabulary * GGUF_WORD_BYTES,
             f"{shape.vocabulary:,} entries at about {GGUF_WORD_BYTES} bytes"),
    )


def _distinct_tensors(shape: ModelShape) -> list[tuple[int, ...]]:
    """The shapes of all tensors, a tied head left out."""
    found = dict(shape.tensors)
    if shape.tied_embeddings:
        found.pop(f"{shape.named_only[-1].modules[0]}.weight", None)
    return list(found.values())


def _update(shape: ModelShape, adapter: Adapter) -> PartBytes:
    """One layer's update in full: the product of its matrices, and the same scaled."""
    copies = 2
    if adapter.use_dora:
        copies = 5  # with the new weight, its length, and the weight that it is made of
    largest = max(target.linear.experts * target.linear.inputs * target.linear.outputs
                  for target in targets_of(adapter, shape))
    return part("activations", 4 * copies * largest,
                f"The update of the largest adapted layer: {copies} x {millions(largest)} numbers "
                "in 32 bits")


def _overhead(where: str) -> PartBytes:
    return part("overhead", LIBRARIES_BYTES, f"The libraries in {where}")


def stored_bytes(shape: ModelShape) -> int:
    """Bytes of each number in the model's files; 4 where its configuration names no format."""
    return DTYPE_BYTES.get(shape.dtype_name, 4)


def _merge_assumptions(shape: ModelShape) -> tuple[str, ...]:
    return (f"The base's files are in {shape.dtype_name}, as its config.json says.",
            "Merging happens in main memory and in full precision, whatever the base was trained "
            "in.")
