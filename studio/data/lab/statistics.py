"""How many examples there are and how long: from arrays with one number per row."""

from __future__ import annotations

import math

import numpy

from studio.data.lab.report import Statistics
from studio.data.lab.whole import Whole

_BINS = 30
_NICE = (1, 2, 5)


def statistics_of(whole: Whole) -> Statistics:
    """Of the rows that can be taught; truncated ones are counted among all that have tokens."""
    teachable = whole.teachable
    count = int(teachable.sum())
    turns = whole.checks["turns"].to_numpy()[teachable]
    base = Statistics(
        examples=count, without_answer=len(teachable) - count, duplicates=_duplicates(whole),
        turns_median=float(numpy.median(turns)) if count else None,
        turns_max=int(turns.max()) if count else None)
    if whole.lengths is None or not count:
        return base
    return _with_lengths(whole, base, teachable)


def _with_lengths(whole: Whole, base: Statistics, teachable: numpy.ndarray) -> Statistics:
    from dataclasses import replace

    assert whole.lengths is not None
    every = whole.lengths.total
    lengths = every[teachable]
    edges, counts = histogram(lengths)
    return replace(
        base, tokens_min=int(lengths.min()), tokens_median=float(numpy.median(lengths)),
        tokens_p95=int(numpy.percentile(lengths, 95)), tokens_max=int(lengths.max()),
        tokens_total=int(lengths.sum(dtype=numpy.int64)),
        loss_tokens=int(whole.lengths.loss_tokens[teachable].sum(dtype=numpy.int64)),
        truncated=0 if whole.data.divides else int((every > whole.data.max_length).sum()),
        rows=len(whole.taught_lengths(numpy.flatnonzero(teachable))),
        length_edges=edges, length_counts=counts,
    )


def histogram(lengths: numpy.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(edges, counts) of bins of one round width, about thirty; one edge more than counts."""
    longest = int(lengths.max())
    width = _round_width(longest / _BINS)
    edges = numpy.arange(0, longest + width + 1, width)
    counts, _ = numpy.histogram(lengths, edges)
    return tuple(int(edge) for edge in edges), tuple(int(count) for count in counts)


def _round_width(wanted: float) -> int:
    """1, 2, 5, 10, 20, 50 ... not below `wanted`."""
    power = 10 ** max(0, math.floor(math.log10(max(wanted, 1))))
    return int(next((step * power for step in _NICE if step * power >= wanted), 10 * power))


def _duplicates(whole: Whole) -> int:
    """Rows that repeat an earlier one exactly."""
    hashes = whole.checks["content"].to_numpy()
    return len(hashes) - len(numpy.unique(hashes))
