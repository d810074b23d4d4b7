"""Linear layers with quantised weights, as bitsandbytes holds and computes them.

The weight is one packed storage; every product, forward and backward, unpacks it for a moment.
Nothing is computed. PEFT takes such a layer for an ordinary linear one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from studio.hardware.static_memory import NF4_BYTES, NF4_DOUBLE_BYTES


@dataclass(frozen=True)
class Packing:
    """How weights are packed. `keeps_inputs`: of each product until the backward pass, as
    bitsandbytes does in 8 bits, and before 0.43.2 in 4 (not in the studio, `models/quantized.py`).
    """

    bits: int
    double: bool = True
    keeps_inputs: bool = False

    @property
    def bytes_per_weight(self) -> float:
        """Packed weight and its scales."""
        if self.bits == 8:
            return 1.0
        return NF4_DOUBLE_BYTES if self.double else NF4_BYTES


def packed_linear(
    inputs: int, outputs: int, packing: Packing, *, dtype: Any, has_bias: bool
) -> Any:
    """A layer y = W x + b on meta; `dtype` is what it computes in."""
    return _packed_class()(inputs, outputs, packing, dtype, has_bias)


def is_packed(module: Any) -> bool:
    """True for what `packed_linear` makes."""
    return isinstance(module, _packed_class())


@functools.cache
def _packed_class() -> Any:
    import torch
    from torch import nn

    product = _product_class()

    class PackedLinear(nn.Linear):
        """Is an nn.Linear to PEFT; `weight` is unpacked anew whenever it is looked at."""

        def __init__(self, inputs: int, outputs: int, packing: Packing, dtype: Any,
                     has_bias: bool) -> None:
            nn.Module.__init__(self)
            self.in_features, self.out_features = inputs, outputs
            self.packing, self.dtype = packing, dtype
            self.clones = False
            size = round(inputs * outputs * packing.bytes_per_weight)
            self.packed = nn.Parameter(torch.empty(size, dtype=torch.uint8, device="meta"),
                                       requires_grad=False)
            self.register_parameter("bias", nn.Parameter(
                torch.empty(outputs, dtype=dtype, device="meta"),
                requires_grad=False) if has_bias else None)

        @property
        def weight(self) -> Any:  # type: ignore[override]
            return torch.empty(self.out_features, self.in_features, dtype=self.dtype,
                               device="meta")

        def forward(self, x: Any) -> Any:
            out = product.apply(x.to(self.dtype), self)
            if self.bias is not None and self.packing.bits == 8:
                out = out + self.bias
            out = out.to(x.dtype)
            # PEFT copies the product of an adapted 4-bit layer ("defensively clone").
            return out.clone() if self.clones else out

    return PackedLinear


@functools.cache
def _product_class() -> Any:
    import torch

    class PackedProduct(torch.autograd.Function):
        """bitsandbytes' MatMul4Bit and MatMul8bitLt for a weight that is not trained."""

        @staticmethod
        def forward(ctx: Any, x: Any, layer: Any) -> Any:
            ctx.layer = layer
            packing = layer.packing
            if packing.bits == 8:
                # The input as int8 with a float16 copy on the way, the product as int32.
                half = x.to(torch.float16)
                short = torch.empty_like(x, dtype=torch.int8)
                del half
                whole = x.new_empty((*x.shape[:-1], layer.out_features), dtype=torch.int32)
                out = torch.empty_like(whole, dtype=x.dtype)
                del whole, short
            else:
                out = x @ layer.weight.t()
            if packing.keeps_inputs:
                ctx.save_for_backward(x)
            return out

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient @ ctx.layer.weight, None

    return PackedProduct
