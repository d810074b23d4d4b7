"""Reads JSONL and JSON, and names the line or row of whatever is wrong.

Takes the standard library's parser, because it knows lines and columns. Does not know formats.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studio.data.records import Problem, Records
from studio.data.text_files import Tick, open_text
from studio.errors import DataError

_WRAPPERS = ("data", "rows", "examples", "records", "train")
"""Keys under which a JSON file that is one object often keeps its list of records."""


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


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number",
             float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
