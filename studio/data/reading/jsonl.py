"""JSONL: one JSON object a line. Broken lines are left out and named; blank ones do not count.

The file is cut at line ends without being parsed, which is as fast as the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy

from studio.data.reading.blocks import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    FIRST_BLOCK_BYTES,
    LONGEST_RECORD_BYTES,
    Block,
    Rows,
)
from studio.data.reading.json_rows import left_out, read_json_row
from studio.data.reading.opened import Opened
from studio.data.records import Read


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines of a JSONL file. `first_line` is the number of the first one, from 1; `prefix`
    stands before "line 3" in every place."""

    data: bytes
    first_line: int
    prefix: str
    done: int

    def read(self) -> list[Read]:
        place = f"{self.prefix}line "
        return [read_json_row(line, f"{place}{number}")
                for number, line in enumerate(self.data.split(b"\n"), self.first_line)
                if line and not line.isspace()]


def jsonl_blocks(file: Opened) -> Iterator[Block]:
    """The file in whole lines; a line beyond LONGEST_RECORD_BYTES becomes a problem."""
    prefix = file.file.prefix
    line = 1
    size = FIRST_BLOCK_BYTES
    begun: list[bytes] = []  # of a line whose end is not read yet
    begun_bytes = 0
    while chunk := file.read(size):
        size = BLOCK_BYTES
        end = chunk.rfind(b"\n") + 1
        if not end:
            begun_bytes += len(chunk)
            begun = [*begun, chunk] if begun_bytes <= LONGEST_RECORD_BYTES else []
            continue
        if begun_bytes + chunk.find(b"\n") > LONGEST_RECORD_BYTES:
            yield Rows([_too_long(f"{prefix}line {line}")], file.position)
            line += 1
            data = chunk[chunk.find(b"\n") + 1:end]
        else:
            data = b"".join([*begun, chunk[:end]])
        yield from _cut(data, line, prefix, file.position)
        line += data.count(b"\n")
        begun, begun_bytes = [chunk[end:]], len(chunk) - end
    if begun_bytes > LONGEST_RECORD_BYTES:
        yield Rows([_too_long(f"{prefix}line {line}")], file.position)
    else:
        yield from _cut(b"".join(begun), line, prefix, file.position)


def _cut(data: bytes, line: int, prefix: str, done: int) -> Iterator[Block]:
    """Blocks of at most BLOCK_ROWS lines; none for blank ones."""
    start = 0
    if data.isspace():
        return
    if data.count(b"\n") > BLOCK_ROWS:
        ends = numpy.flatnonzero(numpy.frombuffer(data, numpy.uint8) == ord("\n")) + 1
        for end in ends[BLOCK_ROWS - 1::BLOCK_ROWS].tolist():
            yield from _lines(data[start:end], line, prefix, done)
            line += BLOCK_ROWS
            start = end
    yield from _lines(data[start:], line, prefix, done)


def _lines(data: bytes, line: int, prefix: str, done: int) -> Iterator[Block]:
    if data and not data.isspace():
        yield Lines(data, line, prefix, done)


def _too_long(place: str) -> Read:
    return left_out(f"longer than {LONGEST_RECORD_BYTES // 2**20} MB, so it was not read.", place,
                    "Write one record a line, and break such a long one up.")
