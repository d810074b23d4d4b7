"""GPU kernels that the meta device lacks, as operations that keep and make the same tensors.

FlashAttention keeps query, key, value, its output and one float32 per row and head; scores are
never held. Its backward pass adds up query gradients in float32 (flash-attn 2 `dq_accum`; torch's
own flash and memory-efficient kernels do alike). Knows sizes only: nothing is computed.
"""

from __future__ import annotations

import functools
from typing import Any

FLASH, SDPA = "studio_meta_fa2", "studio_meta_sdpa"
"""The names under which transformers knows the emulated attention. A name with "flash" in it would
make it look for the package."""


def register_attention() -> None:
    """Make both known to transformers. Doing so again changes nothing."""
    from transformers import AttentionInterface

    AttentionInterface.register(FLASH, _flash)
    AttentionInterface.register(SDPA, _sdpa)


def _flash(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
) -> tuple[Any, None]:
    """As transformers' flash attention: (batch, heads, tokens, size) in, tokens first out."""
    import torch

    from studio.hardware.simulate.casting import cast_dtype

    if query.dtype == torch.float32:
        half = cast_dtype() or module.config.dtype
        query, key, value = query.to(half), key.to(half), value.to(half)
    width = value.shape[-1]
    if width != query.shape[-1]:
        value = torch.nn.functional.pad(value, [0, query.shape[-1] - width])
    out = flash_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), None)
    return out[..., :width], None


def _sdpa(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
) -> tuple[Any, None]:
    """transformers' own SDPA, whose kernel `casting.py` replaces."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    options.pop("softcap", None)  # a kernel that knows it needs no more memory
    out: tuple[Any, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, **options)
    return out


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, *_: Any, **options: Any
) -> Any:
    """torch's SDPA: (batch, heads, tokens, size) in and out, laid out with tokens first."""
    import torch

    if attn_mask is not None and attn_mask.dtype == torch.bool:
        # Every call makes numbers of the mask (`convert_boolean_attn_mask`) and keeps them.
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype)
    out = flash_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2),
                          attn_mask)
    return out.transpose(1, 2)


def flash_attention(query: Any, key: Any, value: Any, mask: Any) -> Any:
    """All (batch, tokens, heads, size); fewer heads of key and value are shared by groups."""
    return _flash_class().apply(query, key, value, mask)


@functools.cache
def _flash_class() -> Any:
    import torch

    class FlashAttention(torch.autograd.Function):
        """What flash-attn 2.x allocates, forward and backward (`mha_fwd`, `mha_bwd`)."""

        @staticmethod
        def forward(ctx: Any, query: Any, key: Any, value: Any, mask: Any) -> Any:
            batch, tokens, heads, _ = query.shape
            # Laid out as the query is, like the kernels' own.
            out = torch.empty_like(query[..., :value.shape[-1]])
            sums = query.new_empty((batch, heads, tokens), dtype=torch.float32)
            ctx.save_for_backward(query, key, value, mask, out, sums)
            return out

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            query, key, value, _, _, sums = ctx.saved_tensors
            gradient = gradient.contiguous()
            summed = torch.empty_like(query, dtype=torch.float32)
            delta = torch.empty_like(sums)
            of_query = torch.empty_like(query)
            of_key, of_value = torch.empty_like(key), torch.empty_like(value)
            if key.shape[2] != query.shape[2]:
                # Made for every head, then summed over the group.
                wide = [torch.empty_like(query), torch.empty_like(query)]
                del wide
            del summed, delta
            return of_query, of_key, of_value, None

    return FlashAttention


def grouped_mm(rows: Any, weights: Any, *_: Any, **options: Any) -> Any:
    """(tokens, in) times each one's of (experts, in, out): any of them makes the same sizes."""
    return rows @ weights[0]


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """A GPU's dropout: the result, and a mask of one byte per number kept for backward."""
    import torch

    if not training or p == 0:
        return input
    return torch.native_dropout(input, p, True)[0]
