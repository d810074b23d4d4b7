"""What training on a processor holds beyond its tensors: libraries, workspaces, the heap's holes.

torch keeps no freed memory for a processor; the C library does, and training tells it to keep more
(`studio/allocator.py`): given back, every block's pages would be made anew in each step. The holes
between are given back every few layers, and what lies in them until then is counted. All figures
are of Linux with glibc; `launch.py bench cpu-memory` measures them again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from studio.allocator import LAYERS_BETWEEN
from studio.files import readable_bytes
from studio.hardware.feed_forward_memory import feed_forward
from studio.hardware.fused_layers import adapter_is_fused, adapters_are_fused
from studio.hardware.layer_memory import layer_bytes
from studio.hardware.parts import PartBytes, part
from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

LIBRARIES_BYTES = 0.55e9
"""torch, transformers, peft, trl and datasets once imported (515 MB), tokeniser, data, trainer."""
WORKSPACE_BYTES = 0.025e9
"""Packed matrices that MKL keeps for two threads (19 MB), and code of kernels that is read in."""
QUANTIZER_BYTES = 0.1e9
"""bitsandbytes, and what quantising the weights one by one leaves."""
RETURNED_BYTES = 2**30
"""Blocks from here on go back to the system once they are freed, as `studio/allocator.py` asks."""
END_BYTES = 64 * 2**20
"""Free memory at the heap's end that is not given back."""
KEPT_HOLES_SHARE = 0.25
"""Of what layers keep for their backward pass, in holes too small for the next tensor."""
FUSED_HOLES_SHARE = 0.05
"""The same where adapters are fused with their layers, among whose tensors few others come and go:
between none and 0.16 in six trainings. Where layers are computed again it is what lies between
those layers after which holes are given back."""
ADAPTED_HOLES_SHARE = 1.0
"""Of the outputs of adapted layers: each is made as the base's, as the adapter's, and as their sum,
which stays between what the others leave. Without adapters there is none of it,
nor where the adapter's is added into the base's."""


def overhead(work: Workload) -> PartBytes:
    """What the process holds before the first weight is loaded, and for computing."""
    if work.quantization == "none":
        return part("overhead", LIBRARIES_BYTES + WORKSPACE_BYTES,
                    f"The libraries in this program, {readable_bytes(LIBRARIES_BYTES)}, and "
                    f"workspaces of matrix products, {readable_bytes(WORKSPACE_BYTES)}")
    return part("overhead", LIBRARIES_BYTES + WORKSPACE_BYTES + QUANTIZER_BYTES,
                f"The libraries in this program, {readable_bytes(LIBRARIES_BYTES)}, workspaces of "
                f"matrix products, {readable_bytes(WORKSPACE_BYTES)}, and the quantiser, "
                f"{readable_bytes(QUANTIZER_BYTES)}")


def slack(work: Workload, shape: ModelShape, *, updates: bool) -> PartBytes:
    """What the heap holds without filling it; `updates` at the optimizer's step, for its copies."""
    kept, adapted = _kept_in_heap(work, shape), _adapted_in_heap(work, shape)
    share = KEPT_HOLES_SHARE
    if adapters_are_fused(work, shape):
        between = min(1.0, LAYERS_BETWEEN / shape.layers)
        share = between if work.checkpointing else FUSED_HOLES_SHARE
    holes = share * kept + ADAPTED_HOLES_SHARE * adapted
    end = min(END_BYTES, kept)
    copies = _update_bytes(work, shape) if updates else 0
    text = (f"Holes that the C library does not give back, {share:.0%} of "
            f"{readable_bytes(kept)} that all layers keep")
    text += f", {readable_bytes(adapted)} of adapted layers' outputs" if adapted else ""
    text += f", and {readable_bytes(end)} free at the heap's end"
    text += f"; copies for the update, {readable_bytes(copies)}" if copies else ""
    return part("slack", holes + end + copies, text)


def _kept_in_heap(work: Workload, shape: ModelShape) -> float:
    """Bytes that all layers keep, or compute again, in blocks small enough for the heap."""
    if not _is_in_heap(work, shape.hidden):
        return 0.0
    kept = layer_bytes(work, shape).kept
    if not _is_in_heap(work, shape.intermediate):
        kept -= feed_forward(work, shape).kept
    return work.tokens * shape.layers * kept


def _adapted_in_heap(work: Workload, shape: ModelShape) -> float:
    """Outputs of the adapted linear layers, and updates of adapted experts, of all layers."""
    if work.trains_base:
        return 0.0
    outputs = sum(linear.outputs * linear.count for linear in shape.linears
                  if linear.name in work.targets and _is_in_heap(work, linear.outputs)
                  and not adapter_is_fused(work, linear))
    experts = sum(linear.experts * linear.inputs * linear.outputs * linear.count
                  for linear in shape.stacked if linear.name in work.targets)
    return work.activation_bytes * (work.tokens * outputs + experts)


def _is_in_heap(work: Workload, width: int) -> bool:
    """True for a tensor of `width` numbers per token."""
    return work.tokens * width * work.activation_bytes < RETURNED_BYTES


def _update_bytes(work: Workload, shape: ModelShape) -> int:
    """torch's AdamW, one tensor after the other: a root and a quotient of the largest."""
    if not work.trains_base or work.optimizer != "adamw_torch":
        return 0
    largest = max(math.prod(size) for size in shape.tensors.values())
    return 2 * work.trainable_bytes * largest
