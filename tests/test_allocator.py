"""Freed blocks go back to the system, also from between others that stay."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_HELD_AFTER_FREEING_EVERY_SECOND_BLOCK = """
import ctypes
from studio.allocator import give_large_blocks_back
from studio.hardware.resident import resident_bytes
if {told}:
    assert give_large_blocks_back()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
size, before = 4 * 2**20, resident_bytes()
def take():
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    return block
libc.free(take())  # untold, the library takes this as a sign to keep blocks of this size
blocks = [take() for _ in range(20)]
for block in blocks[::2]:
    libc.free(block)
print((resident_bytes() - before) // size)
"""


def _blocks_held(*, told: bool) -> int:
    code = _HELD_AFTER_FREEING_EVERY_SECOND_BLOCK.replace("{told}", str(told))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries need no telling")
def test_freed_blocks_between_others_go_back_to_the_system() -> None:
    assert _blocks_held(told=True) <= 11  # ten, and what else Python took meanwhile
    assert _blocks_held(told=False) >= 18  # the last may lie at the end, which shrinks
