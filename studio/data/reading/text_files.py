"""Plain text and Markdown, in a column `text`: one record per paragraph (blank lines between), or
one for the whole document."""

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

LONGEST_DOCUMENT = 2**20
"""Characters of a document, some quarter of a million tokens: more than most novels have."""


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


def document_blocks(opened: Opened) -> Iterator[Block]:
    """The file as one record. One beyond LONGEST_DOCUMENT becomes several, parted between two
    paragraphs where that is possible, so that no text is longer than memory likes."""
    text = opened.lines(newline=None)
    lines: list[str] = []
    first, number, size = 1, 1, 0
    while line := text.readline(LONGEST_DOCUMENT):
        is_border = line.isspace() or size > 2 * LONGEST_DOCUMENT
        if size >= LONGEST_DOCUMENT and is_border:
            yield from _document(lines, f"{opened.file.prefix}line {first}", opened)
            lines, first, size = [], number, 0
        lines.append(line)
        size += len(line)
        number += line.endswith("\n")
    yield from _document(lines, f"{opened.file.prefix}line {first}", opened)


def _document(lines: list[str], place: str, opened: Opened) -> Iterator[Block]:
    row = {"text": "".join(lines).strip("\n")}
    if row["text"].strip():
        read = undecoded(place) if has_broken_text(row) else Read(place, row)
        yield Rows([read], opened.position)


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
