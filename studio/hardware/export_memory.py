"""What writing a GGUF takes, and the disk of a merged model: memory of this PC at the peak, bytes.

Follows `studio/export/gguf.py`, whose converter is a process that converts one tensor at a time.
File sizes come from the shapes of the tensors and are met within one or two percent. What merging
takes is in `merge_memory.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from studio.hardware.other_jobs import LIBRARIES_BYTES, JobEstimate
from studio.hardware.parts import PartBytes, millions, part
from studio.hardware.workload import DTYPE_BYTES
from studio.models.gguf_mixture import mixture, tensor_bytes
from studio.models.gguf_names import gguf_model, gguf_tensors

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

GGUF_WORD_BYTES = 37
"""Per vocabulary entry in a GGUF: its text with a length, its kind, and a merge rule (SmolLM2)."""
FILE_WORD_BYTES = 80
"""Per vocabulary entry in tokenizer.json: 72 to 134 in those of SmolLM2, Qwen 3 and Llama 3."""
BASIS = ("Rests on merges and conversions in fresh processes on Linux, models of 135 to 370 "
         "million parameters.")


def estimate_gguf(shape: ModelShape, outtype: str) -> JobEstimate:
    """Memory and disk of writing a model of `shape` as a GGUF of `outtype`."""
    largest = max(math.prod(size) for size in shape.tensors.values())
    item = stored_bytes(shape)
    tensor = part("weights", largest * (item + 4),
                  f"{millions(largest)} numbers of the largest tensor as they are stored and in "
                  f"32 bits: {item} + 4 bytes")
    return JobEstimate(
        "gguf", "main memory", (tensor, overhead("the converter's process")),
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


def overhead(where: str) -> PartBytes:
    """Of a process that uses PEFT or the converter."""
    return part("overhead", LIBRARIES_BYTES, f"The libraries in {where}")


def stored_bytes(shape: ModelShape) -> int:
    """Bytes of each number in the model's files; 4 where its configuration names no format."""
    return DTYPE_BYTES.get(shape.dtype_name, 4)
