"""Merges PEFT's LoRA on a stack of experts a few experts at a time, with PEFT's own layer.

PEFT computes the update of a whole stack in 32 bits, which takes several times the memory of the
stack. Here the layer is shown a few experts after the other, and does with them what it does with
all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_NUMBERS_AT_ONCE = 1 << 22
"""Of an update: 16 MB in 32 bits."""
_FEWEST = 2
"""Experts at once: PEFT takes a single one for a plain matrix."""


def merge_by_experts(layer: Any, adapter: str) -> None:
    """`layer.merge()` of a peft `ParamWrapper` with that one adapter."""
    stack: torch.Tensor = layer.get_param().data
    if layer.num_experts == 1:
        layer.merge(adapter_names=[adapter])
        return
    a, b = layer.lora_A[adapter].weight.data, layer.lora_B[adapter].weight.data
    # As `get_delta_weight` reads them: (experts, rank, inputs) and (outputs, rank, experts).
    by_expert = a.reshape(layer.num_experts, -1, a.shape[-1])
    last_expert = b.reshape(b.shape[0], -1, layer.num_experts)
    for begin, end in _slices(layer.num_experts, stack[0].numel()):
        layer.num_experts = end - begin
        layer.get_param().data = stack[begin:end]
        layer.lora_A[adapter].weight.data = by_expert[begin:end].flatten(0, 1)
        layer.lora_B[adapter].weight.data = last_expert[..., begin:end].flatten(1)
        layer.merged_adapters.clear()
        layer.merge(adapter_names=[adapter])
    layer.get_param().data = stack


def _slices(experts: int, numbers_each: int) -> list[tuple[int, int]]:
    """Of at least two experts each, as few of them as the memory allows."""
    size = max(_FEWEST, _NUMBERS_AT_ONCE // numbers_each)
    begins = list(range(0, experts, size))
    if len(begins) > 1 and experts - begins[-1] < _FEWEST:
        del begins[-1]
    return list(zip(begins, [*begins[1:], experts], strict=True))
