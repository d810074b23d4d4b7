"""Layers that other software computes in one piece: normalisation kernels, query-key-value.

Fast norms (Liger, unsloth) keep their input as it came and write their gradient in place. litgpt
multiplies query, key and value by one weight, so that the value, kept for the backward pass, keeps
all three; its adapter adds a product that is copied into a tensor of zeros first.
"""

from __future__ import annotations

import functools
import types
from typing import Any

from studio.hardware.workload import Workload

QUERY_KEY_VALUE = ("q_proj", "k_proj", "v_proj")


def use_fast_norms(model: Any) -> None:
    """Let every RMS norm of `model` compute as one kernel."""
    kernel = _norm_class()

    def forward(self: Any, hidden: Any) -> Any:
        return kernel.apply(hidden)

    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = types.MethodType(forward, module)


def use_fast_activations(model: Any) -> None:
    """Let GELU be one kernel where transformers writes GPT-2's approximation out."""
    import torch

    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if "GELU" in type(child).__name__:
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


@functools.cache
def _norm_class() -> Any:
    import torch

    class FastNorm(torch.autograd.Function):
        """Keeps the input and one float32 per row."""

        @staticmethod
        def forward(ctx: Any, hidden: Any) -> Any:
            ctx.save_for_backward(hidden, hidden.new_empty(hidden.shape[:-1], dtype=torch.float32))
            return torch.empty_like(hidden)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient

    return FastNorm


def fuse_query_key_value(model: Any, work: Workload) -> None:
    """Compute query, key and value of every layer as one product, with litgpt's adapter on it.

    Where a model has a fused layer already (`query_key_value`) only the adapter is put on.
    """
    for module in list(model.modules()):
        parts = [getattr(module, name, None) for name in QUERY_KEY_VALUE]
        if all(part is not None for part in parts):
            whole = _adapted_class()(parts, work)
            for number, name in enumerate(QUERY_KEY_VALUE):
                setattr(module, name, _share_class()(whole, number))
        elif getattr(module, "query_key_value", None) is not None:
            module.query_key_value = _adapted_class()([module.query_key_value], work)


@functools.cache
def _share_class() -> Any:
    from torch import nn

    class Share(nn.Module):
        """Query, key or value of a product that is made when the query is asked for."""

        def __init__(self, whole: Any, number: int) -> None:
            super().__init__()
            self.whole, self.number = whole, number

        def forward(self, x: Any) -> Any:
            if self.number == 0:
                self.whole.shares = self.whole(x).split(self.whole.widths, dim=-1)
            share = self.whole.shares[self.number]
            if self.number == len(self.whole.widths) - 1:
                self.whole.shares = ()
            return share

    return Share


@functools.cache
def _adapted_class() -> Any:
    import torch
    from torch import nn

    class FusedProduct(nn.Module):
        """litgpt's LoRAQKVLinear on two of three parts: `zero_pad` and the additions around it."""

        def __init__(self, parts: list[Any], work: Workload) -> None:
            super().__init__()
            self.bases = nn.ModuleList(parts)
            self.shares: tuple[Any, ...] = ()
            self.widths = [part.out_features for part in parts]
            self.padded = work.padded_adapter
            self.inputs, self.outputs = parts[0].in_features, sum(self.widths)
            adapted = (self.outputs * 2 // 3 if len(parts) == 1
                       else self.widths[0] + self.widths[2])
            dtype = torch.bfloat16 if work.trainable_bytes == 2 else torch.float32
            self.dropout = nn.Dropout(0.05 if work.dropout else 0.0)
            self.lora_A = nn.Parameter(torch.empty(
                2 * work.rank, self.inputs, dtype=dtype, device="meta"))
            self.lora_B = nn.Parameter(torch.empty(
                adapted, work.rank, dtype=dtype, device="meta"))

        def forward(self, x: Any) -> Any:
            # The product of all parts lands in one storage, as one larger product would.
            first = self.bases[0]
            out = whole_product(x, self.bases) if len(self.bases) > 1 else first(x)
            low = nn.functional.linear(self.dropout(x), self.lora_A)
            first_half, second_half = low.chunk(2, dim=-1)
            rows = self.lora_B.shape[0] // 2
            update = torch.cat([nn.functional.linear(first_half, self.lora_B[:rows]),
                                nn.functional.linear(second_half, self.lora_B[rows:])], dim=-1)
            if self.padded:
                zeros = x.new_zeros(out.shape).view(-1, self.outputs)
                places = torch.empty(update.shape[-1], dtype=torch.long, device=x.device)
                update = zeros.index_copy(1, places, update.reshape(-1, update.shape[-1]))
                update = update.view(out.shape)
            return out + update * 2.0

    return FusedProduct


def whole_product(x: Any, bases: Any) -> Any:
    """x times all weights together. Quantised ones are unpacked together too."""
    return _whole_class().apply(x, list(bases))


@functools.cache
def _whole_class() -> Any:
    import torch

    from studio.hardware.simulate.packed import is_packed

    class WholeProduct(torch.autograd.Function):
        """A frozen product; bitsandbytes before 0.43.2 keeps its input."""

        @staticmethod
        def forward(ctx: Any, x: Any, bases: Any) -> Any:
            ctx.bases = bases
            weight = _weight(bases)
            if is_packed(bases[0]) and bases[0].packing.keeps_inputs:
                ctx.save_for_backward(x)
            return x @ weight.t()

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient @ _weight(ctx.bases), None

    def _weight(bases: Any) -> Any:
        width = sum(base.out_features for base in bases)
        if is_packed(bases[0]):
            return torch.empty(width, bases[0].in_features, dtype=bases[0].dtype, device="meta")
        # Held as one weight: an expanded view of what is there takes no memory.
        return bases[0].weight[:1].expand(width, -1)

    return WholeProduct
