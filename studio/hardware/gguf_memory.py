"""What llama.cpp takes for a chat with a GGUF file, told by the file's header.

Follows `studio/models/llama_server.py`: one row, and a context whose memory is taken at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.hardware.other_jobs import JobEstimate
from studio.hardware.parts import part
from studio.models.llama_process import BATCH_TOKENS
from studio.models.llama_server import CONTEXT_TOKENS

if TYPE_CHECKING:
    from studio.models.gguf_header import GgufHeader

PROCESS_BYTES = 75e6
"""Python, llama.cpp, and its vocabulary: 57 MB with a tiny one, 78 MB with 49 thousand tokens."""
STREAM_COPIES, INNER_COPIES, ITEM_BYTES = 4, 2, 4
"""Tensors of a layer at work that are alive at once, in 32 bits."""


def gguf_context_tokens(header: GgufHeader) -> int:
    """How long a conversation with this file can be."""
    return min(CONTEXT_TOKENS, header.context_tokens or CONTEXT_TOKENS)


def estimate_gguf_chat(header: GgufHeader, adapter_bytes: int = 0) -> JobEstimate:
    """The peak of llama.cpp's process while it answers, in this PC's memory; `adapter_bytes` are
    those of the adapters' files together."""
    tokens = gguf_context_tokens(header)
    each = STREAM_COPIES * header.width + INNER_COPIES * header.inner_width
    parts = (
        part("weights", header.file_bytes, "The file as it lies on the disk"),
        part("adapter", adapter_bytes, "The adapters' files") if adapter_bytes else
        part("adapter", 0, "The file answers alone"),
        part("cache", header.cache_bytes_per_token * tokens,
             f"{tokens:,} tokens x {readable_bytes(header.cache_bytes_per_token)} of keys and "
             "values in 16 bits, taken at once"),
        part("activations", each * BATCH_TOKENS * ITEM_BYTES,
             f"{BATCH_TOKENS} tokens read at a time x {each:,} numbers x {ITEM_BYTES} bytes in "
             "one layer"),
        part("overhead", PROCESS_BYTES, "llama.cpp's own process"),
    )
    return JobEstimate(
        "chat", "main memory", parts, "the reading of the prompt",
        "Rests on processes measured on Linux, models of 135 million parameters.",
        ("The weights are read from the file's own pages, which the system can take back.",
         "llama.cpp rounds some weights into another order, which it then keeps beside the file's.")
    )
