"""Memory that runs out: known by its errors, and let go of at once.

An error holds the frames in which it was raised, and with them all that they computed; whoever
wants to go on must drop it before freeing anything. What is changed then is `recovery.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_WORDS = (
    "can't allocate memory", "not enough memory: you tried", "backend out of memory",
    "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
)
"""torch's words on Linux and macOS, on Windows, on Apple's GPU, and of CUDA's own libraries."""


def is_out_of_memory(error: BaseException) -> bool:
    """True for the ways in which torch and Python say that memory ran out."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def memory_lasts(action: Callable[[], Any]) -> bool:
    """Do `action`; False if memory ran out in it.

    The error is let go of before this returns, and with it everything that its frames held.
    """
    try:
        action()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
