"""One decoder layer in training: what autograd keeps of it, and what its backward pass needs.

Counts, per token, the tensors that transformers' and PEFT's own code saves in a pre-norm layer with
attention and a gated or plain feed-forward block, or a mixture of such blocks; compared with
autograd's saved tensors in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import LinearShape, ModelShape

_QUERY_KEY_VALUE = ("q_proj", "k_proj", "v_proj")
_FUSED_QUERY_KEY_VALUE = ("query_key_value", "qkv_proj", "c_attn", "Wqkv")
_GATE_UP = ("gate_proj", "up_proj")
_NO_ROTATION = ("gpt2", "gpt_bigcode", "opt", "bloom")
"""Positions are learned or added to the scores: queries and keys go into attention as they are."""


@dataclass(frozen=True)
class LayerBytes:
    """One decoder layer: `kept` and `backward` per token, `weight_copy` whatever the length."""

    kept: float
    backward: float
    weight_copy: int


def layer_bytes(work: Workload, shape: ModelShape) -> LayerBytes:
    """What one layer keeps for its backward pass, and what that pass needs on top."""
    b = work.activation_bytes
    block = feed_forward(work, shape)
    kept = (_norms(work, shape) + _attention(work, shape) + block.kept
            + _linear_inputs(work, shape))
    # The gradients of the residual stream and of the block's input.
    backward = block.backward + 2 * b * shape.hidden
    if work.attention == "eager":
        backward = max(backward, (4 + 2 * b) * shape.heads * (work.mask_width or work.length))
    return LayerBytes(kept, backward, _weight_copy(work, shape))


@dataclass(frozen=True)
class BlockBytes:
    """The feed-forward block, per token."""

    kept: float
    backward: float


def feed_forward(work: Workload, shape: ModelShape) -> BlockBytes:
    """A gated block keeps both projections and the activated gate, a plain one its projection.

    Its backward pass holds the gradients of the product and of each factor; the product itself,
    where a trained layer kept it, is gone by then. In a mixture every token passes
    `experts_per_token` blocks, one expert at a time in the backward pass; each also keeps the
    expert's input and its output before it is weighted.
    """
    # A quantised layer answers in the format it was asked in: the widened norms' one.
    is_wide = bool(work.norm_bytes) and work.quantization != "none" and not work.fast_norms
    b = 4 if is_wide else work.activation_bytes
    gates = 2 if is_gated(shape) else 1
    per_expert = b * shape.intermediate * (3 if gates == 2 else 1)
    backward = b * shape.intermediate * (gates + 1)
    experts = _experts(shape)
    if experts is None:
        product = shape.intermediate * b if "down_proj" in work.targets else 0
        return BlockBytes(per_expert, backward - product)
    count, width = experts
    per_expert = 3 * b * width + b * shape.hidden
    if work.trains_base:
        per_expert += b * (width + shape.hidden)
    each = shape.experts_per_token
    return BlockBytes(each * per_expert, 3 * b * width * each / count)


def _experts(shape: ModelShape) -> tuple[int, int] | None:
    """How many experts a layer has, and how wide each is."""
    for linear in shape.stacked:
        if linear.experts > 1 and linear.name == "down_proj":
            return linear.experts, linear.inputs
    return None


def is_gated(shape: ModelShape) -> bool:
    """True where the feed-forward block multiplies two projections (SwiGLU, GeGLU)."""
    up = [linear for linear in shape.linears
          if linear.inputs == shape.hidden and linear.outputs == shape.intermediate]
    fused = any(linear.outputs == 2 * shape.intermediate for linear in shape.linears)
    return len(up) >= 2 or fused


def _norms(work: Workload, shape: ModelShape) -> float:
    """RMSNorm keeps its input in float32, LayerNorm (it has a bias) as it came.

    Where the norm's own weight is trained, the normalised value is kept too.
    """
    b = work.stream_bytes
    # Gemma scales in float32, the others after casting back.
    trained = (4 if shape.model_type.startswith("gemma") else b) if work.trains_base else 0
    wide = b if work.fast_norms else 4
    if work.fast_norms:
        trained = 0
    size = 0.0
    for leaf, parameters in _norms_of_first_layer(shape):
        if parameters == 2 * shape.hidden:
            size += b * shape.hidden
        elif parameters == shape.head_dim != shape.hidden:
            heads = shape.heads if leaf.startswith("q") else shape.kv_heads
            size += (wide + trained) * heads * shape.head_dim
        else:
            size += (wide + trained) * parameters
    return size


def _norms_of_first_layer(shape: ModelShape) -> list[tuple[str, int]]:
    """Names and parameter counts of the norms in layer 0."""
    inside = ((path.rpartition(".")[2], count) for path, count in shape.modules.items()
              if ".0." in path)
    return [(leaf, count) for leaf, count in inside if "norm" in leaf or leaf.startswith("ln_")]


def _attention(work: Workload, shape: ModelShape) -> float:
    """Query, key, value, output; the mask; eager attention's scores."""
    b = work.activation_bytes
    query = shape.heads * shape.head_dim
    # With a mask, keys and values are repeated up to all heads, and each layer makes numbers of it.
    repeated = work.attention == "eager" or work.mask_width > 0
    key_value = query if repeated else shape.kv_heads * shape.head_dim
    size = float(b * (query + 2 * key_value))
    if fuses_query_key_value(work, shape) and not repeated and (
            shape.model_type not in _NO_ROTATION):
        # The value is a view of the fused product, which stays whole for it; the rotated query and
        # key are new.
        size += b * (query + key_value)
    if work.attention == "eager":
        return size + shape.heads * (work.mask_width or work.length) * (4 + b)
    size += 4 * shape.heads + b * work.mask_width
    output_is_shared = "o_proj" in work.targets and not _casts(work)
    return size if output_is_shared else size + b * query


def fuses_query_key_value(work: Workload, shape: ModelShape) -> bool:
    """True where one linear layer makes query, key and value."""
    return work.fused_qkv or any(linear.name in _FUSED_QUERY_KEY_VALUE for linear in shape.linears)


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
    widths = sum(linear.inputs for linear in trained)
    kept = widths if _casts(work) else _shared_inputs(trained)
    if work.trains_base:
        return work.activation_bytes * kept
    each = work.activation_bytes if work.autocast else work.trainable_bytes
    size = float(each * (kept + work.rank * len(trained)))
    if work.dropout:
        # The mask: a byte on a GPU, a number in the adapter's format on the processor.
        size += widths * (1 if work.on_gpu else each)
    if work.padded_adapter:
        # The adapter's output of every adapted part, before it is copied to its place.
        size += each * 2 * shape.heads * shape.head_dim
    if work.dora:
        size += 2 * work.trainable_bytes * sum(linear.outputs for linear in trained)
    if work.quantization == "8bit" or work.keeps_quantized_inputs:
        # bitsandbytes keeps the input of every 8-bit product, and once kept a 4-bit one's.
        size += work.activation_bytes * _shared_inputs(list(shape.linears))
    return size


def _shared_inputs(linears: list[LinearShape]) -> int:
    """Summed widths of distinct inputs: query, key and value read one tensor, gate and up one."""
    readers = {_reads(linear.name): linear.inputs for linear in linears}
    return sum(readers.values())


def _reads(name: str) -> str:
    if name in _QUERY_KEY_VALUE:
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
