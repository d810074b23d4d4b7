"""A model of torch's CUDA caching allocator: how much it reserves for what it is asked for.

Follows c10/cuda/CUDACachingAllocator.cpp for blocks above 1 MiB: best fit among the free ones, the
rest of a block split off where it is above 1 MiB, free neighbours joined, nothing given back. Small
blocks are only counted. Without expandable segments.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

MIB = 2**20
ROUND_BYTES = 512
SMALL_BYTES = MIB
"""kSmallSize: up to here blocks come from a pool of their own."""
LARGE_SEGMENT_BYTES, LARGEST_SHARED_BYTES = 20 * MIB, 10 * MIB
"""kLargeBuffer is asked of the driver for blocks below kMinLargeAlloc."""
SEGMENT_ROUND_BYTES = 2 * MIB


@dataclass(eq=False)
class Block:
    """A piece of a segment, or a small block. `before` and `after` are its neighbours."""

    bytes: int
    number: int
    asked_bytes: int = 0
    is_small: bool = False
    is_free: bool = False
    before: Block | None = None
    after: Block | None = None

    @property
    def key(self) -> tuple[int, int]:
        """Order of the free blocks: by size, then by age."""
        return self.bytes, self.number


class CachingAllocator:
    """Counts in bytes: what is asked for now and at most, and what is held for it."""

    def __init__(self) -> None:
        self.allocated_bytes = self.peak_allocated_bytes = self.reserved_bytes = 0
        self._free: list[Block] = []
        self._numbers = 0

    def take(self, size: float) -> Block:
        """A block of at least `size` bytes."""
        asked = max(ROUND_BYTES, -(-int(size) // ROUND_BYTES) * ROUND_BYTES)
        self.allocated_bytes += asked
        self.peak_allocated_bytes = max(self.peak_allocated_bytes, self.allocated_bytes)
        if asked <= SMALL_BYTES:
            return Block(asked, 0, asked, is_small=True)
        at = bisect.bisect_left(self._free, (asked, -1), key=lambda block: block.key)
        block = self._free.pop(at) if at < len(self._free) else self._segment(asked)
        block.is_free, block.asked_bytes = False, asked
        if block.bytes - asked > SMALL_BYTES:
            self._split(block, asked)
        return block

    def give_back(self, block: Block) -> None:
        """The block is free again and joins its free neighbours."""
        self.allocated_bytes -= block.asked_bytes
        if block.is_small:
            return
        before, after = block.before, block.after
        if before is not None and before.is_free:
            self._drop(before)
            block = self._join(before, block)
        if after is not None and after.is_free:
            self._drop(after)
            block = self._join(block, after)
        self._keep(block)

    def _segment(self, asked: int) -> Block:
        size = LARGE_SEGMENT_BYTES if asked < LARGEST_SHARED_BYTES else (
            -(-asked // SEGMENT_ROUND_BYTES) * SEGMENT_ROUND_BYTES)
        self.reserved_bytes += size
        return self._new(size)

    def _new(self, size: int) -> Block:
        self._numbers += 1
        return Block(size, self._numbers)

    def _split(self, block: Block, asked: int) -> None:
        rest = self._new(block.bytes - asked)
        rest.before, rest.after = block, block.after
        if block.after is not None:
            block.after.before = rest
        block.after, block.bytes = rest, asked
        self._keep(rest)

    def _join(self, first: Block, second: Block) -> Block:
        first.bytes += second.bytes
        first.after = second.after
        if second.after is not None:
            second.after.before = first
        return first

    def _keep(self, block: Block) -> None:
        block.is_free = True
        bisect.insort(self._free, block, key=lambda kept: kept.key)

    def _drop(self, block: Block) -> None:
        at = bisect.bisect_left(self._free, block.key, key=lambda kept: kept.key)
        del self._free[at]
