"""Causal attention of each example of a joined row to itself, which keeps its output once.

SDPA keeps queries, keys, values and output for each example, and the layer behind it keeps the
joined output again. Here the examples write into one output, which both keep. The arithmetic is
PyTorch's own FlashAttention for CPUs (arXiv:2205.14135), the one that SDPA takes there.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_FORWARD = "_scaled_dot_product_flash_attention_for_cpu"


def attends_here(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    """True where SDPA would take that arithmetic, and gradients are wanted."""
    import torch

    aten = torch.ops.aten
    return (torch.is_grad_enabled() and query.requires_grad and query.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu") and query.dtype.is_floating_point
            and query.dtype == key.dtype == value.dtype and len(query) == 1
            and query.shape[-1] == key.shape[-1] == value.shape[-1]
            and query.shape[2] == key.shape[2] and not torch.compiler.is_compiling()
            and torch.backends.cuda.flash_sdp_enabled()
            and hasattr(aten, _FORWARD) and hasattr(aten, f"{_FORWARD}_backward"))


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, begins: list[int],
           scale: float | None) -> torch.Tensor:
    """query (1, heads, tokens, head size), key and value with as many or fewer heads; the result
    (1, tokens, heads, head size). `begins`: of each example, and the end of the last."""
    found: torch.Tensor = _function().apply(query, key, value, begins, scale)
    return found


@functools.cache
def _function() -> Any:
    import torch

    forward_of = getattr(torch.ops.aten, _FORWARD)
    backward_of = getattr(torch.ops.aten, f"{_FORWARD}_backward")

    class RowAttention(torch.autograd.Function):
        """Keeps its arguments, its output, and a number for each token and head."""

        @staticmethod
        def forward(ctx: Any, query: Any, key: Any, value: Any, begins: Any, scale: Any) -> Any:
            out = _rows_like(query)
            sums = []
            for part in _parts(begins):
                found, total = forward_of(query[:, :, part], key[:, :, part], value[:, :, part],
                                          0.0, True, scale=scale)
                out[:, part] = found.transpose(1, 2)
                sums.append(total)
            ctx.save_for_backward(query, key, value, out, *sums)
            ctx.begins, ctx.scale = begins, scale
            return out

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            query, key, value, out, *sums = ctx.saved_tensors
            whole = (query, key, value)
            gradients = tuple(_rows_like(one) for one in whole)
            for part, total in zip(_parts(ctx.begins), sums, strict=True):
                found = backward_of(
                    gradient[:, part].transpose(1, 2), *(one[:, :, part] for one in whole),
                    out[:, part].transpose(1, 2), total, 0.0, True, scale=ctx.scale)
                for one, of_part in zip(gradients, found, strict=True):
                    one[:, part] = of_part.transpose(1, 2)
            return *(one.transpose(1, 2) for one in gradients), None, None

    return RowAttention


def _parts(begins: list[int]) -> list[slice]:
    return [slice(start, end) for start, end in itertools.pairwise(begins)]


def _rows_like(x: Any) -> Any:
    """Empty, (1, tokens, heads, head size) for x (1, heads, tokens, head size)."""
    return x.new_empty(x.shape[0], x.shape[2], x.shape[1], x.shape[3])
