"""Passes through the model that keep nothing for a backward pass: evaluation, a reference, writing.

Each needs the widest layer's work and the loss's tiles, or the cache of keys and values; far less
than training the same tokens, but it may come on top of what training keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.hardware.attention_memory import is_eager
from studio.hardware.feed_forward_memory import feed_forward
from studio.hardware.parts import PartBytes, part
from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import ModelShape


def forward_pass(work: Workload, shape: ModelShape) -> PartBytes:
    """One layer at work without gradients: its input and output, and its widest block."""
    b = work.activation_bytes
    attention = b * shape.head_dim * 2 * (shape.heads + shape.kv_heads)
    if is_eager(work, shape):
        attention += shape.heads * (work.mask_width or work.length) * (4 + b)
    widest = max(attention, feed_forward(work, shape).kept)
    each = 2 * work.stream_bytes * shape.hidden + 4 * shape.hidden + widest
    return part("recomputation", work.tokens * each,
                f"{work.tokens:,} tokens x {each:,.0f} bytes: one layer at work, without gradients")


def cache_bytes(
    shape: ModelShape, columns: int, prompt_tokens: int, item_bytes: int, answer_tokens: int = 0
) -> int:
    """What transformers' DynamicCache holds after a prompt of so many tokens for each column,
    and after `answer_tokens` more.

    A layer with a window keeps the whole prompt until the first token of the answer is through,
    since it cuts a view from it; from then on as many tokens as its window.
    """
    tokens = prompt_tokens + answer_tokens
    held = 0
    for layers in shape.cached:
        window = tokens if layers.window is None or not answer_tokens else layers.window
        held += layers.count * layers.width * min(tokens, window)
    return columns * held * item_bytes


def writing(work: Workload, shape: ModelShape) -> PartBytes:
    """Answers that are written before they are learned from: the cache, and one token's logits."""
    rows = work.written_rows or work.batch
    size = cache_bytes(shape, rows, 0, work.activation_bytes, work.length)
    last = rows * shape.vocabulary * (work.activation_bytes + 8)
    return part("activations", size + last,
                f"{rows} answers of up to {work.length} tokens being written: keys and "
                f"values, and {last:,} bytes to choose the next token")
