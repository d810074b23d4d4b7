"""A gated feed-forward layer (SwiGLU, arXiv:2002.05202) that keeps only what goes into its gate.

down(silu(gate(x)) · up(x)): the activation and the product are computed again in the backward
pass, where they cost less than reading them back would. The last layer's adapter is computed as in
`adapted_linear.py`.
"""

from __future__ import annotations

import functools
from typing import Any

from studio.training.speed.adapted_linear import Adapted, adapted_of, computes_here


def is_gated(module: Any) -> bool:
    """True if `module` looks like one; that it computes so is tried by `fusing.py`."""
    from torch import nn

    parts = ("gate_proj", "up_proj", "down_proj", "act_fn")
    if not all(isinstance(getattr(module, part, None), nn.Module) for part in parts):
        return False
    return type(module.act_fn).__name__ in ("SiLU", "SiLUActivation")


def gated_forward(module: Any, x: Any) -> Any:
    """The layer's forward pass; the module's own where no gradient is wanted."""
    import torch

    if not torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type):
        return type(module).forward(module, x)
    last = module.down_proj
    gate, up = module.gate_proj(x), module.up_proj(x)
    adapted = adapted_of(last)
    if adapted is None or not computes_here(last, x) or gate.dtype != adapted.weight.dtype:
        return last(_gate_function().apply(gate, up))
    return _whole_function().apply(gate, up, adapted.down, adapted.up, adapted)


def _through_gate(gradient: Any, gate: Any, up: Any, active: Any) -> tuple[Any, Any]:
    """Gradients of gate and up; overwrites `gradient` and `active` = silu(gate)."""
    import torch

    of_up = active.mul_(gradient)
    of_gate = torch.ops.aten.silu_backward(gradient.mul_(up), gate)
    return of_gate, of_up


@functools.cache
def _gate_function() -> Any:
    import torch
    from torch.nn.functional import silu

    class Gate(torch.autograd.Function):
        """silu(gate) · up, both of one shape."""

        @staticmethod
        def forward(ctx: Any, gate: Any, up: Any) -> Any:
            ctx.save_for_backward(gate, up)
            return silu(gate).mul_(up)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            gate, up = ctx.saved_tensors
            return _through_gate(gradient.clone(), gate, up, silu(gate))

    return Gate


@functools.cache
def _whole_function() -> Any:
    import torch
    from torch.nn.functional import silu

    class GatedDown(torch.autograd.Function):
        """The gate and the adapted layer behind it, whose A and B are `low_down` and `low_up`."""

        @staticmethod
        def forward(ctx: Any, gate: Any, up: Any, low_down: Any, low_up: Any,
                    layer: Adapted) -> Any:
            hidden = silu(gate).mul_(up)
            out, low = layer.product(hidden.view(-1, hidden.shape[-1]))
            ctx.save_for_backward(gate, up, low)
            ctx.layer = layer
            return out.view(*gate.shape[:-1], out.shape[-1])

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            gate, up, low = ctx.saved_tensors
            gradient = gradient.reshape(-1, gradient.shape[-1])
            of_low = ctx.layer.back_to_low(gradient)
            active = silu(gate)
            hidden = (active * up).view(-1, gate.shape[-1])
            of_adapter = ctx.layer.back_to_adapter(gradient, of_low, hidden, low)
            del hidden
            of_hidden = ctx.layer.back_to_input(gradient, of_low).view(gate.shape)
            return *_through_gate(of_hidden, gate, up, active), *of_adapter, None

    return GatedDown
