"""Which rows say the same: exactly, or but for a word here and there.

Exact ones share the hash of what is taught, and those that differ in letter case and punctuation
the hash of their words. For the others, MinHash signatures name candidates (locality-sensitive
hashing, Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4), and `near.py` judges each
pair by its texts. Memory: some 100 bytes a row for a moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from studio.data.checks.near import are_near
from studio.data.checks.rows import SIGNATURE_BYTES

if TYPE_CHECKING:
    import pyarrow

    from studio.data.lab.whole import Whole

_BAND_BYTES = 4
_LEAST_LIKENESS = 18
"""Equal bytes of two signatures from which on their texts are compared. 85 in 100 shingles
shared give 27 on average, and fewer than 18 once in three thousand pairs."""

MOST_PAIRS = 50_000
"""Pairs whose texts are compared, the likest first; it bounds the time, some ten seconds."""

_AT_ONCE = 100_000


def duplicate_groups(whole: Whole) -> numpy.ndarray:
    """The first row of each row's group, uint32; a row that stands alone is its own group.

    A group holds all rows that are duplicates of one another, directly or through a third.
    """
    groups = first_of_equal(column(whole.checks, "content"))
    groups = joined(groups, _same_words(whole.checks))
    pairs = candidate_pairs(_signatures(whole.checks), _comparable(whole.checks, groups))
    return joined(groups, pairs[are_near(whole, groups, pairs)])


def first_of_equal(values: numpy.ndarray) -> numpy.ndarray:
    """For each element the place where its value stands first, uint32."""
    order = numpy.argsort(values, kind="stable")
    starts = numpy.ones(len(values), dtype=bool)
    starts[1:] = values[order][1:] != values[order][:-1]
    first = numpy.empty(len(values), dtype=numpy.uint32)
    first[order] = order[starts][numpy.cumsum(starts) - 1]
    return first


def candidate_pairs(signatures: numpy.ndarray, rows: numpy.ndarray) -> numpy.ndarray:
    """Pairs of `rows` (lower number first, uint32, (pairs, 2)) whose signatures are alike, the
    likest first and at most MOST_PAIRS.

    The signatures are sorted as they stand, and again beginning with each of their bands; what
    stands side by side with an equal first band is a candidate. So a thousand rows of one template
    give a thousand candidates and not half a million, and the two of them that are alike but for
    one band are neighbours where that band comes last.
    """
    found = numpy.zeros((0, 2), dtype=numpy.uint32)
    likeness = numpy.zeros(0, dtype=numpy.uint8)
    bands = SIGNATURE_BYTES // _BAND_BYTES
    for number in range(bands):
        pairs = _side_by_side(signatures, rows, number * _BAND_BYTES)
        alike = _likeness(signatures, pairs)
        kept = alike >= _LEAST_LIKENESS
        found = numpy.concatenate([found, pairs[kept]])
        likeness = numpy.concatenate([likeness, alike[kept]])
        found, likeness = _likest(found, likeness)
    return found


def joined(groups: numpy.ndarray, pairs: numpy.ndarray) -> numpy.ndarray:
    """`groups` with the groups of each pair made one; the first row of all names it."""
    parent = groups.copy()

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    for one, other in pairs.tolist():
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    while not numpy.array_equal(parent, parent[parent]):
        parent = parent[parent]
    return parent


def column(checks: pyarrow.Table, name: str) -> numpy.ndarray:
    """A column of numbers, missing ones as 0."""
    import pyarrow.compute

    return numpy.asarray(pyarrow.compute.fill_null(checks[name], 0))


def _same_words(checks: pyarrow.Table) -> numpy.ndarray:
    """(first row, row) for each row whose words are those of an earlier one, uint32."""
    rows = numpy.flatnonzero(numpy.asarray(checks["words"].is_valid())).astype(numpy.uint32)
    first = rows[first_of_equal(column(checks, "words")[rows])]
    return numpy.stack([first, rows], axis=1)[first != rows]


def _comparable(checks: pyarrow.Table, groups: numpy.ndarray) -> numpy.ndarray:
    """The first row of each group so far, where it has words."""
    known = numpy.asarray(checks["signature"].is_valid())
    return numpy.flatnonzero(known & (groups == numpy.arange(len(groups)))).astype(numpy.uint32)


def _signatures(checks: pyarrow.Table) -> numpy.ndarray:
    """uint8, (rows, SIGNATURE_BYTES)."""
    parts = [numpy.zeros((0, SIGNATURE_BYTES), dtype=numpy.uint8)]
    for chunk in checks["signature"].chunks:
        values = numpy.frombuffer(chunk.buffers()[1], dtype=numpy.uint8)
        start = chunk.offset * SIGNATURE_BYTES
        parts.append(values[start: start + len(chunk) * SIGNATURE_BYTES]
                     .reshape(-1, SIGNATURE_BYTES))
    return numpy.concatenate(parts)


def _side_by_side(signatures: numpy.ndarray, rows: numpy.ndarray, start: int) -> numpy.ndarray:
    """Neighbours when the signatures are sorted from byte `start` on, round to the byte before."""
    keys = [_eight_bytes(signatures, rows, (start + at) % SIGNATURE_BYTES)
            for at in range(0, SIGNATURE_BYTES, 8)]
    order = numpy.lexsort(keys[::-1])
    band = (keys[0] >> numpy.uint64(64 - 8 * _BAND_BYTES))[order]
    same = band[1:] == band[:-1]
    pairs = numpy.stack([rows[order[:-1][same]], rows[order[1:][same]]], axis=1)
    return numpy.sort(pairs, axis=1)


def _eight_bytes(signatures: numpy.ndarray, rows: numpy.ndarray, start: int) -> numpy.ndarray:
    """Bytes `start` to `start` + 7 of each signature as one number, the first weighing most."""
    part = signatures[:, start: start + 8]
    if part.shape[1] < 8:
        part = numpy.concatenate([part, signatures[:, : 8 - part.shape[1]]], axis=1)
    return numpy.ascontiguousarray(part[rows]).view(">u8").ravel().astype(numpy.uint64)


def _likeness(signatures: numpy.ndarray, pairs: numpy.ndarray) -> numpy.ndarray:
    """Equal bytes of the two signatures of each pair."""
    parts = [numpy.zeros(0, dtype=numpy.uint8)]
    for start in range(0, len(pairs), _AT_ONCE):
        one, other = pairs[start: start + _AT_ONCE].T
        parts.append((signatures[one] == signatures[other]).sum(axis=1, dtype=numpy.uint8))
    return numpy.concatenate(parts)


def _likest(
    pairs: numpy.ndarray, likeness: numpy.ndarray
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Each pair once, the likest first, at most MOST_PAIRS."""
    keys = pairs[:, 0].astype(numpy.uint64) << numpy.uint64(32) | pairs[:, 1]
    _, once = numpy.unique(keys, return_index=True)
    order = once[numpy.argsort(-likeness[once].astype(numpy.int16), kind="stable")][:MOST_PAIRS]
    return pairs[order], likeness[order]
