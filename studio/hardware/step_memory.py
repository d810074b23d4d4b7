"""Memory that comes and goes within a step: activations, recomputation, logits and loss.

Counts, per token, the tensors that autograd keeps in one decoder layer (attention and a gated or
plain feed-forward block, pre-norm), as transformers and PEFT compute them. `b` below is the
bytes per number of the base's format. A mixture of experts is counted as one dense block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.hardware.parts import PartBytes, part
from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import LinearShape, ModelShape

LOSS_TILE_TOKENS = 4096
"""Tokens per tile of TRL 1.16's chunked loss (`trl.kernels.chunked_logprob`)."""
LOSS_TILE_VOCABULARY = 32768
"""Vocabulary entries per tile of the same (`_CHUNKED_LOGPROB_CHUNK_SIZE`)."""
LOSS_TILE_COPIES_BYTES = 28
"""Without its GPU kernel, seven float32 tensors of a tile live at once in its backward pass."""
FULL_LOGITS_BYTES = 12
"""Bytes per logit beside the logits themselves in Hugging Face's classic loss: a float32 copy,
its log-softmax, and the gradient of it."""


@dataclass(frozen=True)
class LayerBytes:
    """One decoder layer, bytes per token."""

    kept: float
    backward: float
    weight_copy: int  # bytes, whatever the number of tokens


def layer_bytes(work: Workload, shape: ModelShape) -> LayerBytes:
    """What one layer keeps for its backward pass, and what that pass needs on top."""
    b = work.weight_bytes
    gates = 2 if is_gated(shape) else 1
    kept = (_norms(work, shape) + _attention(work, shape)
            + b * shape.intermediate * (gates + (gates - 1)) + _linear_inputs(work, shape))
    # In the feed-forward block's backward: the gradients of its product and of each factor,
    # and of the residual stream and the block's input.
    backward = b * (shape.intermediate * (gates + 1) + 2 * shape.hidden)
    if work.attention == "eager":
        backward = max(backward, (4 + 2 * b) * shape.heads * work.length)
    return LayerBytes(kept, backward, _dequantized_weight(work, shape))


def is_gated(shape: ModelShape) -> bool:
    """True where the feed-forward block multiplies two projections (SwiGLU, GeGLU)."""
    wide = [linear for linear in _layer_linears(shape)
            if linear.inputs == shape.hidden and linear.outputs == shape.intermediate]
    fused = [linear for linear in _layer_linears(shape)
             if linear.outputs == 2 * shape.intermediate]
    return len(wide) >= 2 or bool(fused)


def _layer_linears(shape: ModelShape) -> tuple[LinearShape, ...]:
    return shape.linears


def _norms(work: Workload, shape: ModelShape) -> float:
    """Two norms a layer: each keeps its input in float32; trained ones the normalised value too."""
    each = 4 * shape.hidden + (work.weight_bytes * shape.hidden if work.trains_base else 0)
    return 2 * each


def _attention(work: Workload, shape: ModelShape) -> float:
    """Query, key, value, output, and for eager attention the scores (float32 and b)."""
    b = work.weight_bytes
    query = shape.heads * shape.head_dim
    # A padded batch carries a mask, for which keys and values are repeated up to all heads.
    repeated = work.attention == "eager" or (work.attention == "sdpa" and work.batch > 1)
    key_value = query if repeated else shape.kv_heads * shape.head_dim
    flash = b * (2 * query + 2 * key_value)
    if work.attention == "eager":
        return flash + shape.heads * work.length * (4 + b)
    return flash + 4 * shape.heads


def _linear_inputs(work: Workload, shape: ModelShape) -> float:
    """Inputs that trained linear layers keep; layers that read the same tensor may share it."""
    trained = [linear for linear in _layer_linears(shape) if linear.name in work.targets]
    if work.trains_base:
        return work.weight_bytes * _shared_inputs(trained)
    each = work.trainable_bytes if not work.autocast else work.weight_bytes
    casts = work.trainable_bytes != work.weight_bytes or work.dropout
    inputs = sum(linear.inputs for linear in trained) if casts else _shared_inputs(trained)
    size = each * (inputs + work.rank * len(trained))
    if work.dropout:
        size += sum(linear.inputs for linear in trained)
    if work.dora:
        size += sum(work.trainable_bytes * linear.outputs for linear in trained)
    return size


def _shared_inputs(linears: list[LinearShape]) -> int:
    """Summed widths of distinct inputs: query, key and value read one tensor, gate and up one."""
    readers: dict[str, int] = {}
    for linear in linears:
        readers.setdefault(_reads(linear.name), linear.inputs)
    return sum(readers.values())


def _reads(name: str) -> str:
    leaf = name.rpartition(".")[2]
    if leaf in ("q_proj", "k_proj", "v_proj"):
        return "attention input"
    return "feed-forward input" if leaf in ("gate_proj", "up_proj") else name


def _dequantized_weight(work: Workload, shape: ModelShape) -> int:
    """A quantised weight is unpacked for every product: the largest one at a time."""
    if work.quantization == "none":
        return 0
    largest = max((linear.inputs * linear.outputs for linear in shape.linears), default=0)
    return largest * work.weight_bytes


def activations(work: Workload, shape: ModelShape) -> PartBytes:
    """What all layers keep for the backward pass."""
    ends = work.weight_bytes * shape.hidden * 2 + 4 * shape.hidden
    if work.checkpointing:
        per_layer = float(work.weight_bytes * shape.hidden)
        what = "the input of each layer, the rest is computed again"
    else:
        per_layer = layer_bytes(work, shape).kept
        what = f"all that the backward pass needs, with {work.attention} attention"
    size = work.tokens * (shape.layers * per_layer + ends)
    return part("activations", size,
                f"{work.batch} examples x {work.length} tokens x ({shape.layers} layers x "
                f"{per_layer:,.0f} bytes + {ends:,.0f} around them): {what}")


def recomputation(work: Workload, shape: ModelShape) -> PartBytes:
    """The one layer that is in its backward pass."""
    layer = layer_bytes(work, shape)
    per_token = layer.backward + (layer.kept if work.checkpointing else 0)
    what = "one layer computed again, and its gradients" if work.checkpointing else (
        "gradients inside one layer")
    copy = f", and {layer.weight_copy:,} bytes of an unpacked weight" if layer.weight_copy else ""
    return part("recomputation", work.tokens * per_token + layer.weight_copy,
                f"{work.tokens:,} tokens x {per_token:,.0f} bytes: {what}{copy}")


def logits(work: Workload, shape: ModelShape) -> PartBytes:
    """The output head's product and the loss over it."""
    b = work.weight_bytes
    if work.loss == "full":
        return part("logits", work.tokens * shape.vocabulary * (b + FULL_LOGITS_BYTES),
                    f"{work.tokens:,} tokens x {shape.vocabulary:,} vocabulary entries x "
                    f"{b + FULL_LOGITS_BYTES} bytes")
    tile = min(work.tokens, LOSS_TILE_TOKENS) * min(shape.vocabulary, LOSS_TILE_VOCABULARY)
    each = b if work.has_triton else b + LOSS_TILE_COPIES_BYTES
    hidden = work.tokens * shape.hidden * (b + 4)
    head = shape.vocabulary * shape.hidden * 4 if work.trains_base else 0
    text = (f"chunked loss: a tile of {tile:,} logits x {each} bytes, hidden states and their "
            f"float32 gradient {hidden:,} bytes")
    return part("logits", tile * each + hidden + head,
                text + (f", the head's float32 gradient {head:,} bytes" if head else ""))
