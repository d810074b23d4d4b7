"""The feed-forward block of a layer in training, per token: what it keeps, what its backward needs.

A gated block multiplies two projections (SwiGLU, GeGLU), a plain one has one; a mixture of experts
sends each token through a few blocks. Inputs of trained layers are counted in `layer_memory.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.hardware.fused_layers import gate_is_fused
from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

WRITTEN_OUT = {"gelu_new": 4, "gelu_fast": 4}
"""Activations that transformers computes step by step; so many tensors are kept for each."""
KEEPS_ONLY_ITS_RESULT = ("relu",)


@dataclass(frozen=True)
class BlockBytes:
    """Per token."""

    kept: float
    backward: float


def feed_forward(work: Workload, shape: ModelShape) -> BlockBytes:
    """A gated block keeps both projections and the activated gate, a fused one both projections, a
    plain one its projection.

    Its backward pass holds the gradients of the product and of each factor; the product itself,
    where a trained layer kept it, is gone by then. In a mixture every token passes
    `experts_per_token` blocks; each also keeps the expert's output before it is weighted, and its
    input and product where the experts are trained. Single experts are gone through one at a time
    in the backward pass, shared parameters all at once.
    """
    # A quantised layer answers in the format it was asked in: the widened norms' one.
    is_wide = bool(work.norm_bytes) and work.quantization != "none" and not work.fast_norms
    b = 4 if is_wide else work.activation_bytes
    found = experts(shape)
    if found is not None:
        return _mixture(work, shape, b, *found)
    if gate_is_fused(work, shape):
        # Gradients of gate and up, and the activated gate that one of them is written over.
        return BlockBytes(2 * b * shape.intermediate, 3 * b * shape.intermediate)
    is_pair = is_gated(shape)
    kept = 3.0 if is_pair else _steps_kept(work, shape, b)
    if shape.traits.activation in KEEPS_ONLY_ITS_RESULT and _reads_result(work, shape):
        kept = 0.0
    product = 1 if _reads_result(work, shape) else 0
    return BlockBytes(b * shape.intermediate * kept,
                      b * shape.intermediate * ((3 if is_pair else 2) - product))


def _steps_kept(work: Workload, shape: ModelShape, b: int) -> float:
    """Tensors of the activation, counted in the format of the rest.

    Autocast computes powers, and all that is added to them, in 32 bits.
    """
    count = 1 if work.fast_activation else WRITTEN_OUT.get(shape.traits.activation, 1)
    return 1 + (count - 1) * (4 / b if work.autocast else 1)


def _reads_result(work: Workload, shape: ModelShape) -> bool:
    """True where the layer after the activation is trained, and so keeps its result anyway."""
    return any(linear.inputs == shape.intermediate for linear in shape.linears
               if linear.name in work.targets)


def _mixture(
    work: Workload, shape: ModelShape, b: int, count: int, width: int
) -> BlockBytes:
    each = 3 * b * width + b * shape.hidden
    if work.trains_base or "gate_up_proj" in work.targets:
        each += b * (width + shape.hidden)
    tokens = shape.experts_per_token
    share = 1 / count if work.experts_as_linears else 1
    return BlockBytes(tokens * each, 3 * b * width * tokens * share)


def experts(shape: ModelShape) -> tuple[int, int] | None:
    """How many experts a layer has, and how wide each is; None where it is no mixture."""
    for linear in shape.stacked:
        if linear.experts > 1 and linear.name == "down_proj":
            return linear.experts, linear.inputs
    return None


def is_gated(shape: ModelShape) -> bool:
    """True where the block multiplies two projections."""
    up = [linear for linear in shape.linears
          if linear.inputs == shape.hidden and linear.outputs == shape.intermediate]
    fused = any(linear.outputs == 2 * shape.intermediate for linear in shape.linears)
    return len(up) >= 2 or fused
