"""Memory that comes and goes within a step: activations, recomputation, logits and loss.

What one layer keeps is counted in `layer_memory.py`; here it is multiplied by layers and tokens,
and the loss as TRL computes it is added.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from studio.hardware.layer_memory import layer_bytes
from studio.hardware.parts import PartBytes, part
from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

LOSS_TILE_TOKENS = 4096
"""Tokens per tile of TRL 1.16's chunked loss (`trl.kernels.chunked_logprob`)."""
LOSS_TILE_VOCABULARY = 32768
"""Vocabulary entries per tile of the same (`_CHUNKED_LOGPROB_CHUNK_SIZE`)."""
LOSS_TILE_COPIES_BYTES = 29
"""Without its GPU kernel: seven float32 tensors and one of bytes live at once in its backward."""
FULL_LOGITS_BYTES = 12
"""Bytes per logit beside the logits themselves in Hugging Face's classic loss: a float32 copy,
its log-softmax, and the gradient of it."""


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
    """The output head's product and the loss over it, for tokens that carry loss."""
    b = work.activation_bytes
    if work.loss == "full":
        return part("logits", work.tokens * shape.vocabulary * (b + FULL_LOGITS_BYTES),
                    f"{work.tokens:,} tokens x {shape.vocabulary:,} vocabulary entries x "
                    f"{b + FULL_LOGITS_BYTES} bytes")
    labelled = math.ceil(work.tokens * work.labelled_share)
    tile = min(labelled, LOSS_TILE_TOKENS) * min(shape.vocabulary, LOSS_TILE_VOCABULARY)
    each = b if work.has_triton else b + LOSS_TILE_COPIES_BYTES
    hidden = labelled * shape.hidden * (work.weight_bytes + 4)
    head = shape.vocabulary * shape.hidden * 4 if work.trains_base else 0
    text = (f"Loss in tiles: {tile:,} logits x {each} bytes, and {hidden:,} bytes for the hidden "
            f"states of {labelled:,} tokens that carry loss and their gradient")
    return part("logits", tile * each + hidden + head,
                text + (f", and {head:,} bytes for the head's gradient" if head else ""))
