"""Memory that a step frees stays with the process for the next step.

glibc gives large blocks back to the system at once and asks for them anew, and each page of them
is cleared again by the kernel: about a tenth of a training step on a CPU. Linux with glibc alone;
elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""From glibc's malloc.h."""
_KEPT_BYTES = 2 ** 31 - 1
_LARGEST_KEPT_BLOCK_BYTES = 2 ** 30
_ASKED_AT_ONCE_BYTES = 2 ** 26


def keep_freed_memory() -> bool:
    """For the rest of the process; False where the C library cannot."""
    library = _glibc()
    if library is None:
        return False
    return all(library.mallopt(option, value) for option, value in (
        (_MMAP_THRESHOLD, _LARGEST_KEPT_BLOCK_BYTES), (_TRIM_THRESHOLD, _KEPT_BYTES),
        (_TOP_PAD, _ASKED_AT_ONCE_BYTES)))


def give_freed_memory_back() -> None:
    """What is kept and lies free goes back to the system."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
