"""CSV and TSV with a header line; the line of whatever is wrong is named.

Cut with the standard library's parser, because it knows which line ends stand inside quotes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from studio.data.reading.blocks import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    FIRST_BLOCK_BYTES,
    LONGEST_RECORD_BYTES,
    Block,
    note,
)
from studio.data.reading.json_rows import left_out, undecoded
from studio.data.reading.opened import Opened
from studio.data.records import Problem, Read, has_broken_text
from studio.errors import DataError

_Record = tuple[int, list[str]] | Read
_HINT = 'Close every quote, and write a quote inside a field as "".'


@dataclass(frozen=True, slots=True)
class Fields:
    """Records as lists of fields, each with the line that it begins in, or a problem."""

    header: list[str]
    records: list[_Record]
    prefix: str
    done: int

    def read(self) -> list[Read]:
        return [self._read(*record) if isinstance(record, tuple) else record
                for record in self.records]

    def _read(self, line: int, fields: list[str]) -> Read:
        place = f"{self.prefix}line {line}"
        if len(fields) != len(self.header):
            return left_out(
                f"{len(fields)} fields, but the header names {len(self.header)}.", place,
                "Put fields that hold a separator or a line break into quotes.")
        row = dict(zip(self.header, fields, strict=True))
        return undecoded(place) if has_broken_text(row) else Read(place, row)


class _Lines:
    """Lines of a text, counted; one beyond LONGEST_RECORD_BYTES is skipped with a csv.Error."""

    def __init__(self, opened: Opened) -> None:
        self._text = opened.lines(newline="")
        self.number = 0
        self.characters = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_RECORD_BYTES)
        if not line:
            raise StopIteration
        self.number += 1
        self.characters += len(line)
        if len(line) < LONGEST_RECORD_BYTES:
            return line
        while line and not line.endswith("\n"):
            line = self._text.readline(LONGEST_RECORD_BYTES)
        raise csv.Error(f"the line is longer than {LONGEST_RECORD_BYTES // 2**20} MB")


def csv_blocks(opened: Opened, *, is_tabs: bool) -> Iterator[Block]:
    """A header line, then one record a row; quoted line breaks are part of a field.

    Raises DataError where the header is broken.
    """
    csv.field_size_limit(LONGEST_RECORD_BYTES)
    delimiter = "\t" if is_tabs else _delimiter(opened.peek())
    lines = _Lines(opened)
    records = _records(csv.reader(lines, delimiter=delimiter, strict=True), lines,
                       opened.file.prefix)
    first = next(records, None)
    if isinstance(first, Read):
        problem = first.problem
        assert problem is not None, "a record without fields has one"
        raise DataError(f"The header of {opened.file.name} cannot be read: {problem.what}",
                        problem.hint)
    header = _Header(first[1] if first else [])
    yield from (note(problem, 0) for problem in header.problems(opened.file.prefix))
    yield from _blocks(records, header.names, lines, opened)


def _blocks(
    records: Iterator[_Record], header: list[str], lines: _Lines, opened: Opened
) -> Iterator[Block]:
    found: list[_Record] = []
    end = FIRST_BLOCK_BYTES
    for record in records:
        found.append(record)
        if len(found) == BLOCK_ROWS or lines.characters >= end:
            yield Fields(header, found, opened.file.prefix, opened.position)
            found, end = [], lines.characters + BLOCK_BYTES
    if found:
        yield Fields(header, found, opened.file.prefix, opened.position)


def _records(reader: Any, lines: _Lines, prefix: str) -> Iterator[_Record]:
    """Every row that is not blank."""
    while True:
        first = lines.number + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _broken(error, first, lines.number, prefix)
            continue
        if any(fields) and any(map(str.strip, fields)):
            yield first, fields


def _broken(error: csv.Error, first: int, last: int, prefix: str) -> Read:
    """A row that is no CSV; an open quote may have swallowed the lines after it."""
    reach = f"; it runs to line {last}" if last > first else ""
    return left_out(f"not valid CSV: {error}{reach}.", f"{prefix}line {first}", _HINT)


def _delimiter(head: bytes) -> str:
    # A spreadsheet set to a language with decimal commas writes semicolons.
    first_line = head.partition(b"\n")[0].decode("utf-8", "replace")
    counts = {mark: first_line.count(mark) for mark in (",", ";", "\t")}
    return max(counts, key=lambda mark: counts[mark])


class _Header:
    """The names of the columns, each given once."""

    def __init__(self, fields: list[str]) -> None:
        self.names: list[str] = []
        self._doubled: list[tuple[str, str]] = []
        for number, field in enumerate(fields, start=1):
            name = field.strip() or f"column {number}"
            if name in self.names:
                self._doubled.append((name, f"{name} {number}"))
                name = f"{name} {number}"
            self.names.append(name)

    def problems(self, prefix: str) -> list[Problem]:
        return [Problem(f"two columns are called {name!r}; the later one is read as {new!r}.",
                        f"{prefix}line 1", "Give every column a name of its own.", "doubled_column")
                for name, new in self._doubled]
