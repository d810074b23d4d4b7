"""The studio's fused layers on the meta device: what they keep, and nothing computed.

A norm keeps its input and a number for each row, an adapted linear layer the product with A and
what its input is made of, a gate what goes into it. Sizes as `studio/training/speed` has them.
"""

from __future__ import annotations

import functools
import types
from typing import Any

from studio.hardware.fused_layers import gate_is_fused, norms_are_fused
from studio.hardware.workload import Workload
from studio.models.shape import ModelShape


def use_own_layers(model: Any, work: Workload, shape: ModelShape) -> None:
    """Let every layer of `model` that training would fuse keep as little."""
    for module in model.modules():
        if norms_are_fused(work, shape) and type(module).__name__.endswith("RMSNorm"):
            module.forward = types.MethodType(_norm, module)
        elif work.fused_adapters and _is_adapted(module):
            module.forward = types.MethodType(_linear, module)
        elif gate_is_fused(work, shape) and hasattr(module, "act_fn") and (
                hasattr(module, "gate_proj") and hasattr(module, "down_proj")):
            module.forward = types.MethodType(_gated, module)


def _is_adapted(module: Any) -> bool:
    from peft.tuners.lora.layer import Linear
    from torch import nn

    return type(module) is Linear and type(module.base_layer) is nn.Linear


def _matrices(layer: Any) -> tuple[Any, Any, Any]:
    (name,) = layer.active_adapters
    return layer.base_layer.weight, layer.lora_A[name].weight, layer.lora_B[name].weight


def _norm(self: Any, x: Any) -> Any:
    rate = x.new_empty((*x.shape[:-1], 1), dtype=_float32())
    out = _keeping().apply(x.shape, [x, rate], x)
    out.made_of = [x, rate]
    return out


def _linear(self: Any, x: Any) -> Any:
    weight, down, up = _matrices(self)
    low = x.new_empty((*x.shape[:-1], len(down)))
    kept = getattr(x, "made_of", [x])
    return _keeping().apply((*x.shape[:-1], len(weight)), [low, *kept], x, down, up)


def _gated(self: Any, x: Any) -> Any:
    gate, up = self.gate_proj(x), self.up_proj(x)
    if "forward" not in vars(self.down_proj):  # not fused itself
        return self.down_proj(_keeping().apply(gate.shape, [gate, up], gate, up))
    weight, low_down, low_up = _matrices(self.down_proj)
    low = x.new_empty((*x.shape[:-1], len(low_down)))
    return _keeping().apply((*x.shape[:-1], len(weight)), [gate, up, low], gate, up, low_down,
                            low_up)


def _float32() -> Any:
    import torch

    return torch.float32


@functools.cache
def _keeping() -> Any:
    import torch

    class Keeping(torch.autograd.Function):
        """An output of `shape` from `inputs`, the first of which gives its format; keeps `kept`."""

        @staticmethod
        def forward(ctx: Any, shape: Any, kept: Any, *inputs: Any) -> Any:
            ctx.save_for_backward(*kept)
            ctx.like = [(one.shape, one.dtype) for one in inputs]
            return inputs[0].new_empty(shape)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            kept = ctx.saved_tensors
            # What is made again or written over: as large as the widest of what was kept.
            again = torch.empty_like(max(kept, key=lambda one: one.numel()))
            found = [gradient.new_empty(shape, dtype=dtype) for shape, dtype in ctx.like]
            del again
            return None, None, *found

    return Keeping
