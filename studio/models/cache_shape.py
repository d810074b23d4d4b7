"""What a model's key-value cache holds for each token, layer by layer, from its configuration.

Knows sizes in elements, not bytes. A layer with sliding or chunked attention forgets what lies
before its window; the recurrent state of linear attention does not grow and is left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

_WINDOWED = ("sliding_attention", "chunked_attention", "hybrid_sliding")
_WITHOUT_KEYS = ("dummy", "linear_attention", "conv")


@dataclass(frozen=True)
class CachedLayers:
    """`count` layers that keep `width` numbers (keys and values) of each token.

    `window` tokens at most, or all of them where it is None.
    """

    count: int
    width: int
    window: int | None = None


def cached_layers(config: Any, kv_heads: int, head_dim: int) -> tuple[CachedLayers, ...]:
    """The cached layers of a transformers `config`, in the groups that transformers caches.

    `kv_heads` and `head_dim` are of the usual attention; multi-head latent attention (DeepSeek)
    keeps a compressed form of both and the rotated part of the keys.
    """
    from transformers.cache_utils import get_layer_types_and_kwargs

    text = config.get_text_config(decoder=True)
    width = 2 * kv_heads * head_dim
    if getattr(text, "kv_lora_rank", None):
        width = text.kv_lora_rank + text.qk_rope_head_dim
    elif text.model_type == "falcon" and text.new_decoder_architecture:
        # Falcon repeats its grouped keys and values to all heads before they are cached.
        width = 2 * text.num_attention_heads * head_dim
    kinds, options = get_layer_types_and_kwargs(text)
    windows = Counter(
        option.get("sliding_window") if kind in _WINDOWED else None
        for kind, option in zip(kinds, options, strict=True) if kind not in _WITHOUT_KEYS
    )
    return tuple(CachedLayers(count, width, window) for window, count in windows.items())
