"""Which examples share a row where packing is on, told before a run. Packs with the function that
the trainer packs with, on the same examples in the same order; loads no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from studio.data.dividing import divided_rows
from studio.training.rows import pack

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole

TOGETHER = 1000
"""So many examples are packed at a time: the batch that `datasets` hands to TRL's packing."""

PackedRow = list[tuple[int, int]]
"""(number of the record from 0, its tokens) of each example in a row, in their order."""


def packed_row(whole: Whole, train: numpy.ndarray, record: int) -> PackedRow:
    """The first packed row that holds `record`; empty where it is not trained on.

    `train` are the records of the split that are trained on, as often as an epoch takes them.
    """
    if whole.lengths is None:
        return []
    lengths = whole.taught_lengths(train)
    if whole.data.divides:
        train = numpy.repeat(train, divided_rows(whole.lengths.total[train],
                                                 whole.data.max_length))
    places = numpy.flatnonzero(train == record)
    if not len(places):
        return []
    start = int(places[0]) // TOGETHER * TOGETHER
    together = slice(start, start + TOGETHER)
    records, lengths = train[together], lengths[together]
    return next(row for row in _packed(records, lengths, whole.data.max_length)
                if any(number == record for number, _ in row))


def _packed(records: numpy.ndarray, lengths: numpy.ndarray, max_length: int) -> list[PackedRow]:
    """Every token stands for the number of its record, so that the rows tell who is in them."""
    import datasets

    tokens = [[int(record)] * int(length) for record, length in zip(records, lengths, strict=True)]
    rows = pack(datasets.Dataset.from_dict({"input_ids": tokens, "labels": tokens}), max_length)
    return [_members(row["input_ids"], row["seq_lengths"]) for row in rows]


def _members(numbers: list[int], lengths: list[int]) -> PackedRow:
    ends = numpy.cumsum(lengths)
    return [(int(numbers[int(end) - 1]), int(length))
            for end, length in zip(ends, lengths, strict=True)]
