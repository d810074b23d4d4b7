"""RMSNorm (arXiv:1910.07467) that keeps its input and one number per row.

transformers writes it as separate operations, each of which keeps a copy of the whole input in
32 bits. The backward pass is written out:
    y = w x r,  r = (mean(x²) + ε)^-½,  dx = r (w dy) - x r³ mean(w dy x)
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def is_rms_norm(module: Any) -> bool:
    """True if `module` looks like one; that it computes so is tried by `fusing.py`."""
    return (type(module).__name__.endswith("RMSNorm")
            and getattr(module, "weight", None) is not None and epsilon_of(module) is not None
            and not module.weight.requires_grad)


def epsilon_of(module: Any) -> float | None:
    """ε, under the names that transformers' models have for it."""
    return getattr(module, "variance_epsilon", getattr(module, "eps", None))


def norm_forward(module: Any, x: Any) -> Any:
    """The module's forward pass; its own where no gradient is wanted."""
    import torch

    if not (torch.is_grad_enabled() and x.requires_grad) or x.dtype != module.weight.dtype:
        return type(module).forward(module, x)
    out, rate = _norm_function().apply(x, module.weight, epsilon_of(module))
    out.made_of = Normed(x, rate, module.weight)
    return out


@dataclass(frozen=True)
class Normed:
    """What a norm's output is made of: cheap to make again, so that nobody has to keep it."""

    x: torch.Tensor
    rate: torch.Tensor
    weight: torch.Tensor


def normed(x: torch.Tensor, rate: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """w x r in the format of x; `rate` is r, float32, one per row."""
    return (x.float() * rate).to(x.dtype).mul_(weight)


@functools.cache
def _norm_function() -> Any:
    import torch

    class RMSNorm(torch.autograd.Function):
        """x of any number of dimensions, features last; the weight is not trained. Gives 1 / the
        root mean square of each row as well."""

        @staticmethod
        def forward(ctx: Any, x: Any, weight: Any, epsilon: float) -> Any:
            length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
            rate = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
            ctx.save_for_backward(x, weight, rate)
            ctx.mark_non_differentiable(rate)
            return normed(x, rate, weight), rate

        @staticmethod
        def backward(ctx: Any, gradient: Any, _: Any) -> Any:
            x, weight, rate = ctx.saved_tensors
            wide, of_x = x.float(), (gradient * weight).float()
            mean = (of_x * wide).sum(-1, keepdim=True).div_(-x.shape[-1])
            of_x.mul_(rate).addcmul_(wide, mean.mul_(rate * rate * rate))
            return of_x.to(x.dtype), None, None

    return RMSNorm
