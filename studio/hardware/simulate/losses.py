"""The language model's head and its loss, in each of the ways that software computes them.

Every function takes the model and its inputs and gives a scalar that `backward()` starts from.
`entered` is called with the hidden states before the head, to mark where the loss begins.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from studio.hardware.step_memory import (
    LOSS_TILE_TOKENS,
    LOSS_TILE_VOCABULARY,
    ONE_PASS_SCORES,
)
from studio.hardware.workload import Workload

Entered = Callable[[Any], None]


def loss_of(work: Workload, model: Any, inputs: dict[str, Any], labels: Any) -> Any:
    """The loss as `work.loss` says. `model` is the causal language model, adapters inside."""
    if work.loss in ("chunked", "one pass", "fused"):
        hidden = model.base_model(**inputs, use_cache=False).last_hidden_state
        head = model.get_output_embeddings().weight
        if work.loss == "fused":
            return _fused_class().apply(hidden.reshape(-1, hidden.shape[-1]), head)
        return _labelled(work, hidden, head, labels)
    # The loss is computed inside the model's forward pass, where the hidden states still are.
    held: list[Any] = []
    hook = model.base_model.register_forward_hook(
        lambda module, args, output: held.append(output.last_hidden_state))
    output = model(**inputs, use_cache=False)
    hook.remove()
    if work.logit_bytes is not None:
        return _stated_class().apply(output.logits, work.logit_bytes)
    return _WHOLE[work.loss](output, labels)


def _full(output: Any, labels: Any) -> Any:
    """transformers' `ForCausalLMLoss` before 5: a float32 copy, shifted into another one."""
    import torch

    logits = output.logits.float()
    shifted = logits[..., :-1, :].contiguous()
    return torch.nn.functional.cross_entropy(
        shifted.view(-1, shifted.shape[-1]), labels[..., 1:].reshape(-1))


def _half(output: Any, labels: Any) -> Any:
    """torch's cross-entropy on the logits as they are."""
    import torch

    return torch.nn.functional.cross_entropy(
        output.logits[..., :-1, :].reshape(-1, output.logits.shape[-1]),
        labels[..., 1:].reshape(-1))


def _kernel(output: Any, labels: Any) -> Any:
    """A fused kernel over whole logits; its backward pass writes the gradient in their place."""
    return _in_place_class().apply(output.logits)


_WHOLE: dict[str, Callable[[Any, Any], Any]] = {"full": _full, "half": _half, "kernel": _kernel}


@functools.cache
def _stated_class() -> Any:
    import torch

    class StatedLoss(torch.autograd.Function):
        """A loss of which only the bytes per logit at its peak are known, forward or backward."""

        @staticmethod
        def forward(ctx: Any, logits: Any, bytes_each: float) -> Any:
            rest = round(logits.numel() * (bytes_each - logits.element_size()))
            ctx.rest, ctx.like = rest, (logits.shape, logits.dtype)
            logits.new_empty(max(0, rest), dtype=torch.uint8)
            return logits.new_empty((), dtype=torch.float32)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            shape, dtype = ctx.like
            of_logits = gradient.new_empty(shape, dtype=dtype)
            gradient.new_empty(max(0, ctx.rest), dtype=torch.uint8)
            return of_logits, None

    return StatedLoss


@functools.cache
def _in_place_class() -> Any:
    import torch

    class InPlaceLoss(torch.autograd.Function):
        """unsloth's and Liger's cross-entropy kernels."""

        @staticmethod
        def forward(ctx: Any, logits: Any) -> Any:
            ctx.save_for_backward(logits)
            return logits.new_empty((), dtype=torch.float32)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return ctx.saved_tensors[0]

    return InPlaceLoss


@functools.cache
def _fused_class() -> Any:
    import torch

    from studio.hardware.simulate.casting import cast_dtype

    class FusedLinearLoss(torch.autograd.Function):
        """Liger's fused linear cross-entropy: gradients are made in the forward pass.

        A slice has as many tokens as make its logits about as large as the hidden states.
        """

        @staticmethod
        def forward(ctx: Any, hidden: Any, head: Any) -> Any:
            tokens, width = hidden.shape
            vocabulary = head.shape[0]
            parts = -(-vocabulary // width)
            rows = 2 ** math.ceil(math.log2(-(-tokens // parts)))
            rows = min(rows, tokens)
            dtype = cast_dtype() or hidden.dtype
            of_head = torch.zeros_like(head) if head.requires_grad else None
            of_hidden = torch.zeros_like(hidden)
            logits = hidden[:rows].to(dtype) @ head.to(dtype).t()
            logits = logits.float()
            logits = logits.to(dtype)
            scaled = logits * 1.0
            of_hidden[:rows] = scaled @ head
            ctx.save_for_backward(of_hidden, of_head)
            return hidden.new_empty((), dtype=torch.float32)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return ctx.saved_tensors

    return FusedLinearLoss


def _labelled(work: Workload, hidden: Any, head: Any, labels: Any) -> Any:
    """TRL's fused head or the studio's: the hidden states of labelled tokens, scored a tile at a
    time."""
    rows = hidden.reshape(-1, hidden.shape[-1])
    kept = math.ceil(rows.shape[0] * work.labelled_share)
    # Picking out the labelled tokens makes a copy.
    rows = rows[labels.reshape(-1)[:kept]]
    if work.loss == "one pass":
        return _one_pass_class().apply(rows, head).sum()
    return _chunked_class().apply(rows, head, work.has_triton).sum()


@functools.cache
def _one_pass_class() -> Any:
    import torch

    class OnePassLoss(torch.autograd.Function):
        """The studio's own head: keeps the gradient of the hidden states instead of them."""

        @staticmethod
        def forward(ctx: Any, hidden: Any, head: Any) -> Any:
            found = hidden.new_empty(len(hidden), dtype=torch.float32)
            of_hidden = torch.empty_like(hidden)
            rows = min(len(hidden), max(1, ONE_PASS_SCORES // len(head)))
            scores = (hidden[:rows] @ head.t()).float()
            of_hidden[:rows] = scores.to(head.dtype) @ head
            ctx.save_for_backward(of_hidden)
            return found

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (of_hidden,) = ctx.saved_tensors
            return (of_hidden * gradient[:, None]).to(of_hidden.dtype), None

    return OnePassLoss


@functools.cache
def _chunked_class() -> Any:
    import torch
    from trl.kernels import chunked_logprob

    from studio.hardware.simulate.casting import cast_dtype

    class ChunkedLoss(torch.autograd.Function):
        """`trl.kernels.chunked_logprob.ChunkedLogProbFunction` on tiles that fit its sizes.

        One tile stands for all; on GPUs a kernel works on it in place, elsewhere TRL's own code.
        """

        @staticmethod
        def forward(ctx: Any, hidden: Any, head: Any, on_gpu: bool) -> Any:
            ctx.dtype = cast_dtype() or hidden.dtype
            ctx.on_gpu = on_gpu
            tokens = hidden.shape[0]
            sums = [hidden.new_zeros(tokens, dtype=torch.float32) for _ in range(7)]
            tile = _tile(hidden, head, ctx.dtype)
            if not on_gpu:
                _fold_forward(chunked_logprob, tile, sums)
            ctx.save_for_backward(hidden, head, sums[0], sums[1])
            return sums[2]

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            hidden, head, first, second = ctx.saved_tensors
            of_hidden = torch.zeros_like(hidden, dtype=torch.float32)
            trains = ctx.needs_input_grad[1]
            of_head = torch.zeros_like(head, dtype=torch.float32) if trains else None
            tile = _tile(hidden, head, ctx.dtype)
            if not ctx.on_gpu:
                _fold_backward(chunked_logprob, tile, first, second, gradient)
                # Products into float32 need float32 factors there.
                wide = [tile.float(), head[:tile.shape[1]].float()]
                del wide
            del tile
            return (of_hidden.to(hidden.dtype),
                    of_head.to(head.dtype) if of_head is not None else None, None)

    return ChunkedLoss


def _tile(hidden: Any, head: Any, dtype: Any) -> Any:
    """Logits of one tile, and for a moment what they are made of."""
    rows = hidden[:LOSS_TILE_TOKENS].to(dtype)
    columns = head[:LOSS_TILE_VOCABULARY].to(dtype)
    return rows @ columns.t()


def _fold_forward(trl: Any, tile: Any, sums: list[Any]) -> None:
    n, columns = tile.shape
    targets = tile.new_empty(n, dtype=int)
    trl._forward_tile(tile, columns, targets, *(part[:n] for part in sums), 0, columns,
                      1.0, 1.0, 1.0, False, True, False, False, True, 1024)


def _fold_backward(trl: Any, tile: Any, first: Any, second: Any, gradient: Any) -> None:
    n, columns = tile.shape
    targets = tile.new_empty(n, dtype=int)
    trl._backward_tile(tile, columns, targets, first[:n], second[:n], gradient[:n], second[:n],
                       0, columns, 1.0, 1.0, 1.0, False, True, False, 1024)
