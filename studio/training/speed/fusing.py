"""Which modules of a model have a faster arithmetic, tried on the modules themselves, and put on.

Names promise little: architectures write a norm or a gate each in their own way. So one module of
every class is computed both ways on a few numbers, and only classes that agree are fused. Adapted
layers are PEFT's own, whose arithmetic is known.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from studio.training.speed.adapted_linear import adapted_forward, adapted_of
from studio.training.speed.gated import gated_forward, is_gated
from studio.training.speed.norm import is_rms_norm, norm_forward

_TRIED_ROWS = 5
_TOLERANCE = {"torch.float32": 1e-4, "torch.bfloat16": 3e-2, "torch.float16": 4e-3}
"""Of the largest number: what another order of the same sums may change."""

Forward = Callable[..., Any]


@dataclass(frozen=True)
class Fusable:
    """The modules that have a faster forward pass, and which one."""

    adapted: list[Any] = field(default_factory=list)
    others: list[tuple[Any, Forward]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.adapted or self.others)

    def fuse(self) -> None:
        """Put them on; `setup.forward_kept` takes them off again."""
        for layer in self.adapted:
            layer.forward = types.MethodType(adapted_forward, layer)
        for module, forward in self.others:
            module.forward = types.MethodType(forward, module)


NOTHING = Fusable()


def fusable(model: Any) -> Fusable:
    """What can be fused in `model`, which is left as it is.

    On GPUs only adapted layers: for the rest there are kernels of theirs (Liger).
    """
    modules = list(model.modules())
    adapted = [module for module in modules if adapted_of(module) is not None]
    if next(model.parameters()).device.type != "cpu":
        return Fusable(adapted)
    agreed: dict[tuple[Any, ...], bool] = {}
    others: list[tuple[Any, Forward]] = []
    for module in modules:
        forward = norm_forward if is_rms_norm(module) else gated_forward if is_gated(module) \
            else None
        if forward is None or "forward" in vars(module):
            continue
        if not _first_weight(module).is_floating_point():
            continue  # quantised
        kind = (type(module), forward, _first_weight(module).dtype)
        if kind not in agreed:
            agreed[kind] = _agree(module, forward)
        if agreed[kind]:
            others.append((module, forward))
    return Fusable(adapted, others)


def _first_weight(module: Any) -> Any:
    return next(module.parameters())


def _width(module: Any) -> int:
    weight = _first_weight(module)
    return int(weight.shape[-1])


def _agree(module: Any, forward: Forward) -> bool:
    """True if both ways give the same output and the same gradient of the input."""
    import torch

    weight = _first_weight(module)
    numbers = torch.linspace(-2, 2, _TRIED_ROWS * _width(module), device=weight.device).sin()
    x = numbers.view(1, _TRIED_ROWS, -1).to(weight.dtype)
    own = _tried(lambda rows: type(module).forward(module, rows), x)
    ours = _tried(lambda rows: forward(module, rows), x)
    if own is None or ours is None:
        return False
    limit = _TOLERANCE.get(str(weight.dtype), 0.0)
    return all(_close(one, other, limit) for one, other in zip(own, ours, strict=True))


def _tried(forward: Forward, x: Any) -> tuple[Any, Any] | None:
    """Output and gradient for `x`; None where the module wants other arguments or has a weight
    that does not fit."""
    import torch

    rows = x.clone().requires_grad_()
    try:
        with torch.enable_grad():
            out = forward(rows)
            (gradient,) = torch.autograd.grad(out, rows, torch.ones_like(out))
    except (TypeError, RuntimeError):
        return None
    return out.detach().float(), gradient.float()


def _close(one: Any, other: Any, limit: float) -> bool:
    if one.shape != other.shape:
        return False
    return bool((one - other).abs().max() <= limit * one.abs().max().clamp(min=1e-6))
