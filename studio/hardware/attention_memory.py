"""The attention of a layer in training, per token: what autograd keeps of it.

Eager attention keeps the scores of every pair of tokens; SDPA and flash attention compute them
again and keep only queries, keys, values, the output, and a number per head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

_FUSED_QUERY_KEY_VALUE = ("query_key_value", "qkv_proj", "c_attn", "Wqkv")
_NO_ROTATION = ("gpt2", "gpt_bigcode", "opt", "bloom")
"""Positions are learned or added to the scores: queries and keys go into attention as they are."""
_ALWAYS_EAGER = ("bloom",)
_BROADCASTS = ("falcon",)
"""One key and value for all heads, handed to SDPA as they are: only its plain path, which keeps the
scores, takes them."""
_OUTPUT = ("o_proj", "out_proj", "dense", "c_proj", "wo")


def is_eager(work: Workload, shape: ModelShape) -> bool:
    """True where scores are made: on request, or since nothing else can cap or bias them."""
    plain_only = shape.traits.attention_softcap or not shape.traits.has_sdpa
    return (work.attention == "eager" or shape.model_type in _ALWAYS_EAGER
            or (plain_only and work.attention == "sdpa"))


def attention(work: Workload, shape: ModelShape, *, output_is_shared: bool) -> float:
    """Bytes per token. `output_is_shared`: the output projection keeps attention's own output."""
    b = work.activation_bytes
    query = shape.heads * shape.head_dim
    masked = masked_share(work, shape)
    eager = is_eager(work, shape)
    plain = shape.kv_heads * shape.head_dim
    if shape.model_type in _BROADCASTS and shape.kv_heads == 1 and work.attention == "sdpa":
        return b * (3 * query + shape.heads * (work.mask_width or work.length))
    # With a mask, or to be multiplied, keys and values are repeated up to all heads.
    key_value = query if eager else masked * query + (1 - masked) * plain
    size = float(b * (query + 2 * key_value))
    if fuses_query_key_value(work, shape):
        size = _fused(work, shape, size, key_value)
    if eager:
        return size + scores(work, shape) + _output_dropout(work, shape)
    size += 4 * shape.heads + b * masked * work.mask_width + _output_dropout(work, shape)
    if shape.traits.attention_dropout and work.device == "cpu":
        # SDPA's plain path: softmax, its mask in full numbers, and their product.
        size += 3 * b * shape.heads * (work.length if work.apart else work.mask_width
                                       or work.length)
    return size if output_is_shared and not (work.apart and work.batch > 1) else size + b * query


def _fused(work: Workload, shape: ModelShape, size: float, key_value: float) -> float:
    """The value is a view of the fused product, which stays whole for it; rotated queries and keys
    are new beside it."""
    if shape.model_type in _NO_ROTATION or key_value > shape.kv_heads * shape.head_dim:
        return size
    return size + work.activation_bytes * (shape.heads * shape.head_dim + key_value)


def scores(work: Workload, shape: ModelShape) -> float:
    """Of eager attention: the softmax in 32 bits, its copy in 16, and tanh where scores are capped.
    """
    b = work.activation_bytes
    each = 4 + (b if b < 4 else 0)
    if shape.traits.attention_softcap:
        each += b
    if shape.traits.attention_dropout:
        each += b + (1 if work.on_gpu else b)
    return shape.heads * (work.mask_width or work.length) * each


def _output_dropout(work: Workload, shape: ModelShape) -> float:
    """Masks of the two dropouts on the residual stream: a byte on a GPU, a number elsewhere."""
    if not shape.traits.hidden_dropout:
        return 0.0
    return 2 * shape.hidden * (1 if work.on_gpu else work.activation_bytes)


def masked_share(work: Workload, shape: ModelShape) -> float:
    """Share of the layers that need a mask. Examples computed one by one need it for windows."""
    if not work.mask_width:
        return 0.0
    if not work.apart:
        return 1.0
    windowed = sum(group.count for group in shape.cached if group.window)
    return windowed / max(1, shape.layers)


def fuses_query_key_value(work: Workload, shape: ModelShape) -> bool:
    """True where one linear layer makes query, key and value."""
    return work.fused_qkv or any(linear.name in _FUSED_QUERY_KEY_VALUE for linear in shape.linears)


def trains_output(work: Workload, shape: ModelShape) -> bool:
    """True where the output projection is trained, and so keeps its input."""
    return any(linear.name in work.targets and linear.name in _OUTPUT
               and linear.inputs == shape.heads * shape.head_dim for linear in shape.linears)
