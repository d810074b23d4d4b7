"""Reads JSONL, JSON, CSV, TSV and plain text, and names the line of whatever is wrong.

Takes the standard library's parsers, because only they know line numbers. Undecodable bytes
travel as lone surrogates to `Records.keep`, which leaves their row out. Does not know formats.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from studio.data.records import Problem, Records
from studio.errors import DataError

_BYTE_ORDER_MARKS = [
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
]
_NOT_TEXT = [
    (b"PK\x03\x04", "a zip archive"), (b"\x1f\x8b", "gzip-compressed"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed"), (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"), (b"SQLite format 3", "an SQLite database"),
    (b"\x80\x04", "a Python pickle"),
]
_WRAPPERS = ("data", "rows", "examples", "records", "train")
"""Keys under which a JSON file that is one object often keeps its list of records."""
_LARGEST_CSV_FIELD_CHARACTERS = 2**30

Tick = Callable[[int], bool]
"""Told the characters just read; answers True when enough was read."""


def open_text(path: Path) -> TextIO:
    """The file as text: byte-order marks and UTF-16 are recognised, line ends unified."""
    with path.open("rb") as file:
        head = file.read(4096)
    for magic, kind in _NOT_TEXT:
        if head.startswith(magic):
            raise DataError(f"{path.name} is {kind}, not a text file.",
                            "Unpack or convert it, or give it the ending of what it is.")
    encoding = _encoding(head)
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    return path.open(encoding=encoding, errors=errors, newline="" if _is_csv(path) else None)


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv")


def _encoding(head: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    # Western text in UTF-16 without a mark is every second byte zero.
    if len(head) >= 4 and head[1::2].count(0) > len(head) // 5:
        return "utf-16-le"
    if len(head) >= 4 and head[0::2].count(0) > len(head) // 5:
        return "utf-16-be"
    return "utf-8"


def read_jsonl(path: Path, records: Records, tick: Tick) -> None:
    """One JSON object a line. Broken lines are left out and named; blank ones do not count."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                _take_json_line(line, number, records)
            if tick(len(line)):
                return


def _take_json_line(line: str, number: int, records: Records) -> None:
    place = f"line {number}"
    try:
        value, constants = parse_json(line)
    except json.JSONDecodeError as error:
        records.leave_out(
            f"not valid JSON: {error.msg} at column {error.colno}.", place,
            "Correct the line; a line must hold one whole object, {...}.",
        )
    except (ValueError, RecursionError):
        records.leave_out("a number is too long or the nesting too deep.", place,
                          "Shorten or remove this record.")
    else:
        _take_value(value, constants, place, records)


def _take_value(value: Any, constants: list[str], place: str, records: Records) -> None:
    if not isinstance(value, dict):
        records.leave_out(f"{_kind(value)} instead of an object.", place,
                          'Write each record as {"column": "value", ...}.')
        return
    if constants:
        records.problems.append(Problem(
            f"{constants[0]} is not JSON and was read as null.", place, "Write null or a number."
        ))
    records.keep(value, place)


def parse_json(text: str) -> tuple[Any, list[str]]:
    """The value, and every NaN or Infinity that stood in it (read as None).

    Raises json.JSONDecodeError, ValueError (a number of thousands of digits), RecursionError.
    """
    constants: list[str] = []

    def constant(name: str) -> None:
        constants.append(name)

    def number(digits: str) -> float | None:
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            constants.append(digits[:20])
            return None
        return value

    return json.loads(text, parse_constant=constant, parse_float=number), constants


def read_json(path: Path, records: Records, tick: Tick, split: str) -> None:
    """A list of objects, one object, or an object that holds the list under a usual key.

    A file named .json with one object a line is read as JSONL, since many are.
    """
    with open_text(path) as file:
        text = file.read()
    if not text.strip():
        return
    try:
        value, constants = parse_json(text)
    except json.JSONDecodeError as error:
        if _looks_like_lines(text):
            read_jsonl(path, records, tick)
            return
        raise DataError(
            f"{path.name} is not valid JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}.",
            "Correct that place; a JSON file holds one list of objects, [{...}, {...}].",
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} holds a number that is too long or is nested too deeply.",
                        "Shorten or remove that record.") from error
    if constants:
        records.problems.append(Problem(
            f"{len(constants)} times NaN, Infinity or a number too large for a computer, "
            "read as null.", "", "Write null or a number."))
    for row, item in enumerate(_unwrap(value, split), start=1):
        _take_value(item, [], f"row {row}", records)
        if tick(0):
            return


def _looks_like_lines(text: str) -> bool:
    first = text.lstrip().partition("\n")[0]
    try:
        value, _ = parse_json(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _unwrap(value: Any, split: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        for key in (split, *_WRAPPERS):
            if isinstance(value.get(key), list):
                return list(value[key])
    return [value]


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


def read_text(path: Path, records: Records, tick: Tick) -> None:
    """One record per paragraph (blank lines between), in a column `text`."""
    paragraph: list[str] = []
    start = 1
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                start = start if paragraph else number
                paragraph.append(line)
            elif paragraph:
                records.keep({"text": "".join(paragraph).strip()}, f"line {start}")
                paragraph = []
            if tick(len(line)):
                return
    if paragraph:
        records.keep({"text": "".join(paragraph).strip()}, f"line {start}")


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number",
             float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
