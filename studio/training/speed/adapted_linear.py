"""A linear layer with LoRA on it, computed as one function.

y = x Wᵀ + b + s (x Aᵀ) Bᵀ (LoRA, arXiv:2106.09685). PEFT writes it as separate products, scalings
and sums, each of which passes over the whole output and keeps something. Here the input and x Aᵀ
are kept; an input that a fused norm made is made again. A 16-bit base has its adapter multiplied in
16 bits, as under autocast; the adapter itself and what its gradients add up to stay as they are.
Knows no dropout, DoRA or quantised weight.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.training.speed.norm import Normed, normed

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Adapted:
    """One layer: `weight` (out, in), which is not trained, `down` = A (rank, in) and `up` = B
    (out, rank)."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    down: torch.Tensor
    up: torch.Tensor
    scaling: float

    def product(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The output (rows, out) and x Aᵀ (rows, rank) of x (rows, in), in the format of x."""
        from torch.nn.functional import linear

        low = x @ self.down.to(x.dtype).T
        out = linear(x, self.weight, self.bias)
        return out.addmm_(low, self.up.to(x.dtype).T, alpha=self.scaling), low

    def back_to_low(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of the output (rows, out) times B: (rows, rank), not scaled."""
        return gradient @ self.up.to(gradient.dtype)

    def back_to_input(self, gradient: torch.Tensor, of_low: torch.Tensor) -> torch.Tensor:
        """The gradient of x (rows, in); `of_low` is what `back_to_low` gives."""
        down = self.down.to(gradient.dtype)
        return (gradient @ self.weight).addmm_(of_low, down, alpha=self.scaling)

    def back_to_adapter(
        self, gradient: torch.Tensor, of_low: torch.Tensor, x: torch.Tensor, low: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradients of A and B, in their own formats."""
        return ((of_low.T @ x).to(self.down.dtype).mul_(self.scaling),
                (gradient.T @ low).to(self.up.dtype).mul_(self.scaling))


def adapted_of(layer: Any) -> Adapted | None:
    """The matrices of PEFT's LoRA layer where it is a plain one, else None.

    Plain: one active adapter on an unquantised linear layer that is not trained itself, without
    dropout, variant or bias of its own.
    """
    from peft.tuners.lora.layer import Linear
    from torch import nn

    # Exactly these classes: what is derived from them computes something else.
    if type(layer) is not Linear or type(layer.base_layer) is not nn.Linear:
        return None
    if len(layer.active_adapters) != 1 or layer.active_adapters[0] not in layer.lora_A:
        return None
    name, base = layer.active_adapters[0], layer.base_layer
    dropout = getattr(layer.lora_dropout[name], "p", 0.0)
    if dropout or name in layer.lora_variant or layer.lora_bias[name] or layer.fan_in_fan_out:
        return None
    if any(weight.requires_grad for weight in base.parameters()):
        return None
    return Adapted(base.weight, base.bias, layer.lora_A[name].weight, layer.lora_B[name].weight,
                   layer.scaling[name])


def adapted_forward(layer: Any, x: Any, *arguments: Any, **options: Any) -> Any:
    """The layer's forward pass; PEFT's own wherever that could do anything else."""
    if arguments or options or not computes_here(layer, x):
        return type(layer).forward(layer, x, *arguments, **options)
    found = adapted_of(layer)
    if found is None or x.dtype != found.weight.dtype:
        return type(layer).forward(layer, x)
    made_of = getattr(x, "made_of", None)
    return _linear_function().apply(x, found.down, found.up, found, made_of)


def computes_here(layer: Any, x: torch.Tensor) -> bool:
    """True while gradients are wanted and nobody merged the adapter or switched it off."""
    import torch

    return (torch.is_grad_enabled() and not torch.is_autocast_enabled(x.device.type)
            and not layer.disable_adapters and not layer.merged)


@functools.cache
def _linear_function() -> Any:
    import torch

    class AdaptedLinear(torch.autograd.Function):
        """x of any number of dimensions, features last; gradients of x, A and B."""

        @staticmethod
        def forward(ctx: Any, x: Any, down: Any, up: Any, layer: Adapted,
                    made_of: Normed | None) -> Any:
            out, low = layer.product(x.reshape(-1, x.shape[-1]))
            kept = (made_of.x, made_of.rate, made_of.weight) if made_of else (x,)
            ctx.save_for_backward(low, *kept)
            ctx.layer, ctx.shape = layer, x.shape
            return out.view(*x.shape[:-1], out.shape[-1])

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            low, *kept = ctx.saved_tensors
            x = (normed(*kept) if len(kept) > 1 else kept[0]).reshape(-1, ctx.shape[-1])
            gradient = gradient.reshape(-1, gradient.shape[-1])
            of_low = ctx.layer.back_to_low(gradient)
            of_x = None
            if ctx.needs_input_grad[0]:
                of_x = ctx.layer.back_to_input(gradient, of_low).view(ctx.shape)
            return of_x, *ctx.layer.back_to_adapter(gradient, of_low, x, low), None, None

    return AdaptedLinear
