"""The model of torch's caching allocator, and the slack shares that it gives."""

from __future__ import annotations

import random
import statistics

import pytest

from studio.hardware.simulate.allocator import MIB, CachingAllocator
from studio.hardware.slack import EVEN_SHARE, UNEVEN_SHARE
from tests.hardware.training_trace import Sizes, train

MODELS = (Sizes(4096, 14336, 128_000, 16), Sizes(2048, 5504, 151_936, 16))


def test_a_freed_block_is_taken_again() -> None:
    allocator = CachingAllocator()
    allocator.give_back(allocator.take(64 * MIB))
    allocator.take(64 * MIB)
    assert allocator.reserved_bytes == 64 * MIB


def test_a_larger_tensor_finds_no_room_in_freed_smaller_blocks() -> None:
    allocator = CachingAllocator()
    for block in [allocator.take(30 * MIB), allocator.take(30 * MIB)]:
        allocator.give_back(block)
    allocator.take(31 * MIB)
    assert allocator.reserved_bytes == (30 + 30 + 32) * MIB
    assert allocator.peak_allocated_bytes == 60 * MIB


def test_the_pieces_of_a_split_block_join_again() -> None:
    allocator = CachingAllocator()
    allocator.give_back(allocator.take(64 * MIB))
    pieces = [allocator.take(20 * MIB) for _ in range(3)]
    for piece in (pieces[1], pieces[0], pieces[2]):
        allocator.give_back(piece)
    allocator.take(64 * MIB)
    assert allocator.reserved_bytes == 64 * MIB


def test_blocks_below_ten_mebibytes_share_a_segment() -> None:
    allocator = CachingAllocator()
    for _ in range(4):
        allocator.take(5 * MIB)
    assert allocator.reserved_bytes == 20 * MIB


def _share(*, whole_logits: bool, even: bool) -> float:
    """Reserved beyond allocated, the median over models and orders of lengths."""
    shares = []
    for sizes in MODELS:
        for seed in range(1 if even else 6):
            lengths = random.Random(seed)
            steps = [4 * (2048 if even else lengths.randint(256, 2048)) for _ in range(40)]
            shares.append(train(CachingAllocator(), sizes, steps, whole_logits=whole_logits) - 1)
    return statistics.median(shares)


@pytest.mark.parametrize("whole_logits", [False, True])
def test_even_steps_leave_little_slack(whole_logits: bool) -> None:
    assert _share(whole_logits=whole_logits, even=True) == pytest.approx(EVEN_SHARE, abs=0.06)


def test_uneven_steps_hold_about_as_much_again() -> None:
    assert _share(whole_logits=False, even=False) == pytest.approx(UNEVEN_SHARE, abs=0.25)


def test_whole_logits_of_differing_lengths_leave_at_least_that() -> None:
    assert _share(whole_logits=True, even=False) > UNEVEN_SHARE
