"""The C library's memory allocator, told to give large blocks back as soon as they are freed.

glibc alone needs telling, so this is for Linux; Windows and macOS return large blocks by
themselves. torch's CPU tensors come from this allocator; CUDA's have one of their own.
"""

from __future__ import annotations

import ctypes
import platform

RETURNED_FROM_BYTES = 2**20
"""Blocks from here on are mapped on their own. glibc begins at 128 KB, but raises this up to 32 MB
with every such block that is freed; from then on tensors lie among others, and freed ones leave
gaps: a training step of small models held 23 to 31 % more. Less would give back little more, and
every block that is mapped costs page faults."""
KEPT_AT_THE_END_BYTES = 16 * 2**20
"""Free memory at the heap's end that is kept for the next small blocks. Fixing the threshold alone
would set it to 128 KB, and small blocks would map the same pages again and again (98,900 page
faults a step of the starter, 38,900 untold)."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""malloc.h"""


def give_large_blocks_back() -> bool:
    """Set it for this process. False where the C library is another one and is left alone."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, RETURNED_FROM_BYTES)
                and mallopt(_M_TRIM_THRESHOLD, KEPT_AT_THE_END_BYTES))
