"""Reads CSV and TSV with a header line, and names the line of whatever is wrong.

Takes the standard library's parser, because it counts lines inside quotes as well.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.data.records import Problem, Records
from studio.data.text_files import Tick, open_text

_LARGEST_CSV_FIELD_CHARACTERS = 2**30


def read_csv(path: Path, records: Records, tick: Tick) -> None:
    """A header line, then one record a row; quoted line breaks are part of a field."""
    csv.field_size_limit(_LARGEST_CSV_FIELD_CHARACTERS)
    with open_text(path) as file:
        first = file.readline()
        file.seek(0)
        reader = csv.reader(file, delimiter=_delimiter(first, path), strict=True)
        header: list[str] | None = None
        for place, fields, error in _csv_rows(reader):
            if error:
                records.leave_out(f"not valid CSV: {error}.", place,
                                  'Close every quote, and write a quote inside a field as "".')
            elif header is None:
                header = _header(fields, records)
            else:
                _take_csv_row(fields, header, place, records)
            if tick(sum(map(len, fields)) + len(fields)):
                return


def _csv_rows(reader: Any) -> Iterator[tuple[str, list[str], str]]:
    """(place, fields, error) of every row that is not blank; the place is its first line."""
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield place, [], str(error)
            continue
        if fields and any(field.strip() for field in fields):
            yield place, fields, ""


def _take_csv_row(fields: list[str], header: list[str], place: str, records: Records) -> None:
    if len(fields) != len(header):
        records.leave_out(
            f"{len(fields)} fields, but the header names {len(header)}.", place,
            "Put fields that hold a separator or a line break into quotes.",
        )
    else:
        records.keep(dict(zip(header, fields, strict=True)), place)


def _delimiter(first_line: str, path: Path) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    # A spreadsheet set to a language with decimal commas writes semicolons.
    counts = {mark: first_line.count(mark) for mark in (",", ";", "\t")}
    return max(counts, key=lambda mark: counts[mark])


def _header(fields: list[str], records: Records) -> list[str]:
    names: list[str] = []
    for number, field in enumerate(fields, start=1):
        name = field.strip() or f"column {number}"
        if name in names:
            records.problems.append(Problem(
                f"two columns are called {name!r}; the later one is read as '{name} {number}'.",
                "line 1", "Give every column a name of its own."))
            name = f"{name} {number}"
        names.append(name)
    return names
