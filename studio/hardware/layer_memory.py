"""One decoder layer in training: what autograd keeps of it, and what its backward pass needs.

Counts, per token, the tensors that transformers' and PEFT's own code saves in a pre-norm layer with
attention and a gated or plain feed-forward block, or a mixture of such blocks, and the studio's own
code where layers are fused; compared with autograd's saved tensors in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.hardware.attention_memory import attention, is_eager, trains_output
from studio.hardware.feed_forward_memory import feed_forward
from studio.hardware.fused_layers import (
    adapter_is_fused,
    adapters_are_fused,
    input_is_made_again,
    norms_are_fused,
)
from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import LinearShape, ModelShape

_QUERY_KEY_VALUE = ("q_proj", "k_proj", "v_proj")
_ONE_NORM = {"falcon": ("query_key_value", "dense_h_to_4h")}
"""Attention and feed-forward block side by side, behind the same norm."""
_GATE_UP = ("gate_proj", "up_proj")


@dataclass(frozen=True)
class LayerBytes:
    """One decoder layer: `kept` and `backward` per token; whatever the length, `weight_copy` while
    a product is computed and `kept_weights` until the backward pass."""

    kept: float
    backward: float
    weight_copy: int
    kept_weights: int = 0


def layer_bytes(work: Workload, shape: ModelShape) -> LayerBytes:
    """What one layer keeps for its backward pass, and what that pass needs on top."""
    b = work.activation_bytes
    block = feed_forward(work, shape)
    shared = trains_output(work, shape) and not (
        _casts(work) and not adapters_are_fused(work, shape))
    kept = (_norms(work, shape) + attention(work, shape, output_is_shared=shared) + block.kept
            + _linear_inputs(work, shape))
    # The gradients of the residual stream and of the block's input.
    backward = block.backward + 2 * b * shape.hidden
    if is_eager(work, shape):
        backward = max(backward, (4 + 2 * b) * shape.heads * (work.mask_width or work.length))
    adapted = _adapted_experts(work, shape)
    # The gradient of the adapted experts, and their adapters' product that was added to them.
    return LayerBytes(kept, backward, _weight_copy(work, shape) + 2 * adapted, adapted)


def _adapted_experts(work: Workload, shape: ModelShape) -> int:
    """Expert weights with their adapters added, made anew in each step for every expert at once.

    PEFT adapts weights that several experts share as one parameter (ParamWrapper) no other way.
    """
    if work.trains_base:
        return 0
    return sum(work.activation_bytes * linear.experts * linear.inputs * linear.outputs
               for linear in shape.stacked if linear.experts > 1 and linear.name in work.targets)


def _norms(work: Workload, shape: ModelShape) -> float:
    """RMSNorm keeps its input in float32, LayerNorm (it has a bias) as it came.

    Where the norm's own weight is trained, the normalised value is kept too. A fused RMSNorm keeps
    its input as it came as well, and a number for each row.
    """
    b = work.stream_bytes
    # Gemma scales in float32, the others after casting back.
    trained = (4 if shape.model_type.startswith("gemma") else b) if work.trains_base else 0
    fused = norms_are_fused(work, shape)
    wide = b if work.fast_norms or fused else 4
    row = 4 if fused else 0
    if work.fast_norms:
        trained = 0
    size = 0.0
    for leaf, parameters in _norms_of_first_layer(shape):
        if parameters == 2 * shape.hidden:
            size += b * shape.hidden
        elif parameters == shape.head_dim != shape.hidden:
            heads = shape.heads if leaf.startswith("q") else shape.kv_heads
            size += heads * ((wide + trained) * shape.head_dim + row)
        else:
            size += (wide + trained) * parameters + row
    return size


def _norms_of_first_layer(shape: ModelShape) -> list[tuple[str, int]]:
    """Names and parameter counts of the norms in layer 0."""
    inside = ((path.rpartition(".")[2], count) for path, count in shape.modules.items()
              if ".0." in path)
    return [(leaf, count) for leaf, count in inside if "norm" in leaf or leaf.startswith("ln_")]


def _casts(work: Workload) -> bool:
    """True where every trained layer makes its own copy of its input.

    PEFT casts it to the adapter's number format, autocast to the weights', dropout changes it.
    """
    if work.trains_base:
        return work.activation_bytes < work.weight_bytes
    return work.trainable_bytes != work.weight_bytes or work.dropout


def _linear_inputs(work: Workload, shape: ModelShape) -> float:
    """Inputs that trained linear layers keep; layers that read the same tensor may share it."""
    trained = [linear for linear in shape.linears if linear.name in work.targets]
    trained += [router for router in shape.stacked
                if router.kind == "router" and router.name in work.targets]
    fused = [linear for linear in trained if adapter_is_fused(work, linear)]
    trained = [linear for linear in trained if linear not in fused]
    widths = sum(linear.inputs for linear in trained)
    kept = widths if _casts(work) else _shared_inputs(trained, shape.model_type)
    if work.trains_base:
        return work.activation_bytes * kept
    each = work.activation_bytes if work.autocast else work.trainable_bytes
    size = each * (kept + work.rank * len(trained)) + _fused_inputs(work, shape, fused)
    if work.dropout:
        # The mask: a byte on a GPU, a number in the adapter's format on the processor.
        size += widths * (1 if work.on_gpu else each)
    if work.padded_adapter:
        # The adapter's output of every adapted part, before it is copied to its place.
        size += each * 2 * shape.heads * shape.head_dim
    if work.dora:
        size += 2 * work.trainable_bytes * sum(linear.outputs for linear in trained)
    if work.keeps_quantized_inputs:
        size += work.activation_bytes * _shared_inputs(list(shape.linears), shape.model_type)
    return size


def _fused_inputs(work: Workload, shape: ModelShape, fused: list[LinearShape]) -> float:
    """Inputs that nothing makes again, and the adapters' low products, in the base's format."""
    kept = [linear for linear in fused if not input_is_made_again(work, shape, linear)]
    return work.activation_bytes * (_shared_inputs(kept, shape.model_type)
                                    + work.rank * len(fused))


def _shared_inputs(linears: list[LinearShape], model_type: str) -> int:
    """Summed widths of distinct inputs: query, key and value read one tensor, gate and up one."""
    readers = {(_reads(linear.name, model_type), linear.inputs) for linear in linears}
    return sum(inputs for _, inputs in readers)


def _reads(name: str, model_type: str) -> str:
    """What a layer of this name reads."""
    if name in _QUERY_KEY_VALUE or name in _ONE_NORM.get(model_type, ()):
        return "attention input"
    return "feed-forward input" if name in _GATE_UP else name


def _weight_copy(work: Workload, shape: ModelShape) -> int:
    """Copies of one weight matrix, the largest: a quantised one is unpacked for every product.

    DoRA also makes its whole update, by way of an identity matrix, to measure its length.
    """
    size = 0
    for linear in shape.linears:
        weight = linear.inputs * linear.outputs
        copy = work.activation_bytes * weight if work.quantization != "none" else 0
        if work.dora and linear.name in work.targets:
            copy += work.trainable_bytes * (linear.inputs**2 + 2 * weight)
        size = max(size, copy)
    return size
