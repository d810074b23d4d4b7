"""Memory that stays from step to step: weights, adapter, gradients, optimizer, overhead.

Constants are those of the libraries' own storage, named with their source; nothing is fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.hardware import cpu_memory
from studio.hardware.parts import PartBytes, millions, part
from studio.hardware.workload import Workload, linear_parameters

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

NF4_BYTES = 0.5 + 4 / 64
"""4 bits and one float32 scale per block of 64 (bitsandbytes)."""
NF4_DOUBLE_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""The scales as 8 bits themselves, with one float32 per 256 of them."""
INT8_STATE_BYTES = 1 + 4 / 256
"""One 8-bit optimizer state per parameter, with one float32 scale per block of 256."""
CUDA_CONTEXT_BYTES = 0.8e9
"""CUDA context and loaded kernels, outside torch's counters: what nvidia-smi shows beyond them in
IBM's benchmark (A100, torch 2.4) where the allocator's share is taken off, 0.7 to 0.9 GB."""


def weights(work: Workload, shape: ModelShape) -> PartBytes:
    """The base model as it is held while training."""
    if work.quantization == "none":
        text = f"{millions(shape.parameters)} parameters at {work.weight_bytes} bytes"
        # Where the base itself is trained, only a second model remembers what it was.
        twin = work.weight_bytes if work.trains_base and work.compares else 0
        text += f", and {twin} for the reference model" if twin else ""
        size = float(shape.parameters * (work.weight_bytes + twin))
        shards = work.shards_of("weights")
        if shards > 1:
            # Of divided weights, the layer that computes is whole.
            size = size / shards + size / shape.layers
            text += f", on {shards} GPUs, and one layer of {shape.layers} whole"
        return part("weights", size, text)
    quantized = linear_parameters(shape.linears)
    if work.experts_as_linears:
        quantized += sum(linear.parameters for linear in shape.stacked if linear.experts > 1)
    rest = shape.parameters - quantized
    each, other = _quantized_bytes(work), work.unquantized_bytes or work.weight_bytes
    return part("weights", quantized * each + rest * other,
                f"{millions(quantized)} quantised parameters of the linear layers at {each:.3f} "
                f"bytes, and {millions(rest)} (embeddings, head, norms) at {other}")


def cast_copies(work: Workload, shape: ModelShape) -> PartBytes:
    """Under autocast, each trained weight's copy to compute with, from forward to backward."""
    is_cast = work.trains_base and work.activation_bytes < work.weight_bytes
    return part("weights", shape.parameters * work.activation_bytes if is_cast else 0,
                f"{millions(shape.parameters)} copies in {work.dtype} to compute with")


def _quantized_bytes(work: Workload) -> float:
    if work.quantization == "8bit":
        return 1.0
    return NF4_DOUBLE_BYTES if work.double_quantization else NF4_BYTES


def adapter(work: Workload) -> PartBytes:
    """The weights trained beside the base."""
    if work.trains_base:
        return part("adapter", 0, "The base itself is trained, so there is no adapter")
    beside = work.kept_beside_adapter
    return part("adapter", work.trainable * work.trainable_bytes + 4 * beside,
                f"{millions(work.trainable)} trained parameters at {work.trainable_bytes} bytes"
                + (f", and {millions(beside)} numbers beside them at 4 bytes" if beside else ""))


def gradients(work: Workload, shape: ModelShape) -> PartBytes:
    """One gradient per trained parameter, in its own number format."""
    if work.updates_in_backward:
        size = work.trainable * work.trainable_bytes / max(1, shape.layers)
        return part("gradients", size, f"Those of one of {shape.layers} layers at a time, used "
                    "as soon as they are there")
    shards = work.shards_of("gradients")
    return part("gradients", work.trainable * work.trainable_bytes / shards,
                f"{millions(work.trainable)} trained parameters at {work.trainable_bytes} bytes"
                + (f", on {shards} GPUs" if shards > 1 else ""))


def optimizer(work: Workload) -> PartBytes:
    """What the optimizer remembers of every trained parameter."""
    each, why = _state_bytes(work)
    shards = work.shards_of("optimizer")
    return part("optimizer", work.trainable * each / shards,
                f"{millions(work.trainable)} trained parameters at {each:.2f} bytes ({why})"
                + (f", on {shards} GPUs" if shards > 1 else ""))


def _state_bytes(work: Workload) -> tuple[float, str]:
    if work.optimizer == "adafactor":
        # A row and a column of float32 for a matrix; an adapter's matrices are `rank` wide.
        width = max(1, work.rank if not work.trains_base else 1024)
        return 4 / width, "Adafactor keeps one number per row and column"
    if work.optimizer == "sgd":
        return 0, "plain gradient descent remembers nothing"
    if work.optimizer == "paged_adamw_8bit":
        return 2 * INT8_STATE_BYTES, "two 8-bit states; may move to main memory in a squeeze"
    if work.optimizer == "adamw_8bit":
        return 2 * INT8_STATE_BYTES, "two 8-bit states"
    if work.master_weights:
        return 12, "two states and a copy of the weight, each of 4 bytes"
    return 2 * work.trainable_bytes, f"two states of {work.trainable_bytes} bytes"


def optimizer_step_bytes(work: Workload) -> int:
    """Temporary memory of the optimizer's own step.

    torch's foreach AdamW, its default on CUDA, makes one copy of a state of all parameters at once:
    10 bytes a parameter at the peak of bfloat16 full tuning instead of 8.
    """
    copy = work.trainable * work.trainable_bytes if work.foreach_optimizer else 0
    return copy // work.shards_of("optimizer")


def overhead(work: Workload) -> PartBytes:
    """What is taken before the first weight is loaded."""
    if work.on_gpu:
        return part("overhead", CUDA_CONTEXT_BYTES, "CUDA context, workspaces and kernels")
    return cpu_memory.overhead(work)
