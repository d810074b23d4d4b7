"""Memory that comes and goes within a step: activations, recomputation, logits and loss.

What one layer keeps is counted in `layer_memory.py`; here it is multiplied by layers and tokens,
and the loss as TRL computes it is added.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from studio.hardware.fused_layers import norms_are_fused
from studio.hardware.layer_memory import layer_bytes
from studio.hardware.objectives import OBJECTIVES
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
"""Bytes per logit beside the logits themselves in Hugging Face's classic loss: its log-softmax in
float32, and the gradients of it and of the float32 copy."""
HALF_TENSORS = 4
"""Whole logits, their log-softmax, and two gradients: a loss in the logits' own format."""
ONE_PASS_SCORES = 2**23
"""Scores that the studio's own head holds at once."""
KERNEL_TENSORS = 2
"""Whole logits, turned into their gradient in place, and one copy."""
FUSED_SLICES = 4
"""Liger slices the tokens until a slice's logits are about as large as the hidden states; this many
float32 numbers per hidden state hold them."""


def activations(work: Workload, shape: ModelShape) -> PartBytes:
    """What all layers keep for the backward pass."""
    if work.checkpointing:
        per_layer = float(work.stream_bytes * shape.hidden)
        what = "the input of each layer, the rest is computed again"
    else:
        per_layer = layer_bytes(work, shape).kept
        what = f"all that the backward pass needs, with {work.attention} attention"
    if work.offloads_activations:
        return part("activations", 2 * work.tokens * per_layer,
                    f"{work.tokens:,} tokens x 2 layers x {per_layer:,.0f} bytes on their way "
                    "to and from main memory")
    copies = 0 if work.checkpointing else layer_bytes(work, shape).kept_weights
    size = shape.layers * (work.tokens * per_layer + copies)
    return part("activations", size,
                f"{work.batch} {_examples(work)} x {work.length} tokens x {shape.layers} layers x "
                f"{per_layer:,.0f} bytes: {what}"
                + (f", and {copies:,} bytes of adapted experts in each layer" if copies else ""))


def _examples(work: Workload) -> str:
    """"examples", or "examples of 2 answers"."""
    rows = OBJECTIVES[work.objective].rows
    return "examples" if rows == 1 else f"examples of {rows} answers"


def recomputation(work: Workload, shape: ModelShape) -> PartBytes:
    """The one layer that is in its backward pass."""
    layer = layer_bytes(work, shape)
    per_token = layer.backward + (layer.kept if work.checkpointing else 0)
    what = "one layer computed again, and its gradients" if work.checkpointing else (
        "gradients inside one layer")
    copies = layer.weight_copy + (layer.kept_weights if work.checkpointing else 0)
    copy = f", and {copies:,} bytes of weights made for it" if copies else ""
    return part("recomputation", work.tokens * per_token + copies,
                f"{work.tokens:,} tokens x {per_token:,.0f} bytes: {what}{copy}")


def logits(work: Workload, shape: ModelShape) -> PartBytes:
    """The final norm, the output head's product, and the loss of tokens that carry it."""
    b = work.activation_bytes
    as_it_came = work.fast_norms or norms_are_fused(work, shape)
    norm = shape.hidden * (work.stream_bytes if as_it_came else 4)
    if OBJECTIVES[work.objective].scores:
        each = norm + 2 * b * shape.hidden
        return part("logits", work.tokens * each,
                    f"{work.tokens:,} tokens x {each:,} bytes around the final norm; an answer's "
                    "score is one number")
    if work.loss in ("full", "half", "kernel"):
        logit = work.logit_bytes or {"full": b + FULL_LOGITS_BYTES, "half": b * HALF_TENSORS,
                                     "kernel": b * KERNEL_TENSORS}[work.loss]
        if shape.traits.logit_softcap:
            logit += 2 * b  # divided by the cap, and the tanh of it
        ends = norm + b * shape.hidden
        return part("logits", work.tokens * (shape.vocabulary * logit + ends),
                    f"{work.tokens:,} tokens x ({shape.vocabulary:,} vocabulary entries x "
                    f"{logit:g} bytes + {ends:,} bytes around the final norm)")
    if work.loss == "fused":
        each = norm + shape.hidden * (2 * b + FUSED_SLICES)
        return part("logits", work.tokens * each,
                    f"{work.tokens:,} tokens x {each:,} bytes: hidden states, their gradient, and "
                    "one slice of logits at a time")
    labelled = math.ceil(work.tokens * work.labelled_share)
    if work.loss == "one pass":
        return _one_pass(work, shape, labelled, norm)
    tile = min(labelled, LOSS_TILE_TOKENS) * min(shape.vocabulary, LOSS_TILE_VOCABULARY)
    each = b if work.has_triton else b + LOSS_TILE_COPIES_BYTES
    if shape.traits.logit_softcap:
        each += 4  # the tanh, in 32 bits
    hidden = labelled * shape.hidden * (work.weight_bytes + 4)
    ends = work.tokens * (norm + work.weight_bytes * shape.hidden)
    head = shape.vocabulary * shape.hidden * 4 if work.trains_base else 0
    text = (f"Loss in tiles: {tile:,} logits x {each} bytes, and {hidden + ends:,} bytes for the "
            f"final norm, the hidden states of {labelled:,} tokens that carry loss and their "
            "gradient")
    return part("logits", tile * each + hidden + ends + head,
                text + (f", and {head:,} bytes for the head's gradient" if head else ""))


def _one_pass(work: Workload, shape: ModelShape, labelled: int, norm: int) -> PartBytes:
    """Hidden states of labelled tokens and their gradient, and a tile of scores: in 32 bits, and
    in the weights' format before they are made wide and when they are multiplied."""
    b = work.weight_bytes
    tile = min(labelled * shape.vocabulary, max(ONE_PASS_SCORES, shape.vocabulary))
    each = 4 if b == 4 else 4 + b
    hidden = labelled * shape.hidden * 2 * b
    ends = work.tokens * (norm + b * shape.hidden)
    return part("logits", tile * each + hidden + ends,
                f"Loss in one pass: {tile:,} logits x {each} bytes at once, and {hidden + ends:,} "
                f"bytes for the final norm, the hidden states of {labelled:,} tokens that carry "
                "loss and their gradient")
