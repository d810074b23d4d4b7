"""Attention over a joined row, one example after the other.

For CPUs: a mask over the whole row would be right too, but costs the square of its length. Uses
transformers' own points of extension; everything that is not a joined row is left to its SDPA.
Whoever joins rows must pass `cu_seq_lens_q` beside the position ids, as TRL's collator does.
"""

from __future__ import annotations

import itertools
from typing import Any

from studio.training.speed.row_attention import attend, attends_here

ROWS = "studio_rows"
"""The name under which transformers knows it."""


def register_row_attention() -> None:
    """Make `ROWS` known to transformers. Doing so again changes nothing."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(ROWS, row_attention)
    AttentionMaskInterface.register(ROWS, row_mask)


def row_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
) -> tuple[Any, None]:
    """As transformers' SDPA; `cu_seq_lens_q` in the options says where each example begins.

    query has shape (1, heads, tokens, head size), the result (1, tokens, heads, head size).
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    begins = options.get("cu_seq_lens_q")
    if begins is None or attention_mask is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    places = begins.tolist()
    if _is_plain(module, options) and attends_here(query, key, value):
        return attend(query, key, value, places, options.get("scaling")), None
    lengths = [end - start for start, end in itertools.pairwise(places)]
    # Split and not sliced: the gradients of slices are added up in rows full of zeros.
    examples = zip(*(whole.split(lengths, dim=2) for whole in (query, key, value)), strict=True)
    parts = [sdpa_attention_forward(module, *example, None, **options)[0] for example in examples]
    return torch.cat(parts, dim=1), None


def _is_plain(module: Any, options: dict[str, Any]) -> bool:
    """True if an example attends to all of itself before each token, and nothing is dropped."""
    unusual = ("dropout", "position_bias", "cache", "softcap", "sliding_window", "s_aux")
    causal = options.get("is_causal")
    return (not any(options.get(name) for name in unusual)
            and (getattr(module, "is_causal", True) if causal is None else bool(causal)))


def row_mask(
    batch_size: int, q_length: int, kv_length: int, *args: Any, attention_mask: Any = None,
    local_size: int | None = None, **options: Any,
) -> Any:
    """No mask where `row_attention` needs none; else transformers' own.

    Layers with a local window (`local_size`) keep their mask, which knows the examples as well.
    """
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None and local_size is None and q_length == kv_length:
        return None
    return sdpa_mask(batch_size, q_length, kv_length, *args, attention_mask=attention_mask,
                     local_size=local_size, **options)
