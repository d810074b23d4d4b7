"""Plain text and Markdown: one record per paragraph (blank lines between), in a column `text`."""

from __future__ import annotations

from collections.abc import Iterator

from studio.data.reading.blocks import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    FIRST_BLOCK_BYTES,
    LONGEST_RECORD_BYTES,
    Block,
    Rows,
)
from studio.data.reading.json_rows import left_out, undecoded
from studio.data.reading.opened import Opened
from studio.data.records import Read, has_broken_text


def text_blocks(opened: Opened) -> Iterator[Block]:
    """Every paragraph; one beyond LONGEST_RECORD_BYTES becomes a problem."""
    reads: list[Read] = []
    start = opened.position
    size = FIRST_BLOCK_BYTES
    for read in _paragraphs(opened):
        reads.append(read)
        if len(reads) == BLOCK_ROWS or opened.position - start >= size:
            yield Rows(reads, opened.position)
            reads, start, size = [], opened.position, BLOCK_BYTES
    if reads:
        yield Rows(reads, opened.position)


def _paragraphs(opened: Opened) -> Iterator[Read]:
    text = opened.lines(newline=None)
    lines: list[str] = []
    first, number, size = 1, 1, 0
    # A line may be longer than memory: it comes in parts, which count as one line.
    while line := text.readline(BLOCK_BYTES):
        if not line.isspace():
            first = first if size else number
            size += len(line)
            if size <= LONGEST_RECORD_BYTES:
                lines.append(line)
        elif size:
            yield _paragraph(lines, size, f"{opened.file.prefix}line {first}")
            lines, size = [], 0
        number += line.endswith("\n")
    if size:
        yield _paragraph(lines, size, f"{opened.file.prefix}line {first}")


def _paragraph(lines: list[str], size: int, place: str) -> Read:
    if size > LONGEST_RECORD_BYTES:
        return left_out(f"a paragraph of more than {LONGEST_RECORD_BYTES // 2**20} MB.", place,
                        "Put an empty line between the records.")
    row = {"text": "".join(lines).strip()}
    return undecoded(place) if has_broken_text(row) else Read(place, row)
