"""Memory that glibc keeps while it is asked to, and gives back, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux'")

_PROGRAM = """
import ctypes, json, psutil
from studio.allocator import freed_memory_given_back, freed_memory_kept, give_freed_memory_back

BLOCK, COUNT = 4 * 2**20, 50
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def held():
    return psutil.Process().memory_info().rss // BLOCK

def taken(count):
    blocks = [library.malloc(BLOCK) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    return blocks

def give(blocks):
    for block in blocks:
        library.free(block)

def freed():
    before = held()
    blocks = taken(COUNT)
    full = held()
    give(blocks)
    return full - before, held() - before

found = {"before": freed()}
start = held()
with freed_memory_kept():
    found["inside"] = freed()
    blocks = taken(COUNT)
    give(blocks[::2])
    holes = held()
    give_freed_memory_back()
    found["holes"] = holes - held()
    give(blocks[1::2])
found["left"] = held() - start
with freed_memory_given_back():
    blocks = taken(COUNT)
    full = held()
    give(blocks[::2])
    found["given"] = full - held()
give(blocks[1::2])
chat = freed_memory_given_back()
with freed_memory_kept():
    chat.__enter__()
    found["both"] = freed()
    chat.__exit__(None, None, None)
    found["one again"] = freed()
print(json.dumps(found))
"""


def test_freed_memory_is_kept_inside_the_block_and_goes_back_behind_it() -> None:
    """In blocks of 4 MiB, of which 50 are taken and given."""
    said = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True,
                          check=True, timeout=60).stdout
    found = json.loads(said)
    took, kept = found["before"]
    assert took >= 48 and kept <= 5
    took, kept = found["inside"]
    assert took >= 48 and kept >= 45
    assert found["holes"] >= 20  # of 25 between those that are in use
    assert found["left"] <= 5
    assert found["given"] >= 20  # each by itself, though every other one is in use
    # A chat that answers beside a training takes nothing from it, not even when it is through.
    for name in ("both", "one again"):
        took, kept = found[name]
        assert took >= 45 and kept >= 45, name
