"""Turns one JSON text into a Read: the fast parser first, then one that knows what is wrong.

orjson takes only strict JSON, so whatever it accepts needs no second look; what it refuses goes
to the standard library, whose messages name the column and which can read NaN.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from studio.data.records import Problem, Read, has_broken_text

DEEPEST_NESTING = 100
"""Lists and objects within each other. No example needs more, and programs that follow every
level would fail at a few hundred."""

_LARGEST = 2**64
_LONGEST_NUMBER = 400


def read_json_row(text: bytes, place: str) -> Read:
    """The record in `text`, or the problem why there is none. `text` is not blank."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _read_odd(text, place)
    return read_value(value, place, text.count(b"{") + text.count(b"["))


def read_value(value: Any, place: str, brackets: int) -> Read:
    """A parsed value as a record; `brackets` is at least as large as its nesting."""
    if type(value) is not dict:
        return left_out(f"{_kind(value)} instead of an object.", place,
                        'Write each record as {"column": "value", ...}.')
    if brackets > DEEPEST_NESTING and _nesting(value) > DEEPEST_NESTING:
        return _too_deep(place)
    return Read(place, value)


def left_out(what: str, place: str, hint: str, kind: str = "unreadable") -> Read:
    """A record that cannot be used, and why."""
    return Read(place, None, Problem(what, place, hint, kind))


def undecoded(place: str) -> Read:
    """A record whose text no tokenizer takes."""
    return left_out("the text holds bytes that are not valid UTF-8, or half of a character.", place,
                    "Save the file as UTF-8, or correct this record.", "undecoded")


def _too_deep(place: str) -> Read:
    return left_out(f"lists and objects are nested more than {DEEPEST_NESTING} deep.", place,
                    "Flatten or remove this record.")


def _read_odd(data: bytes, place: str) -> Read:
    """What orjson refuses: broken, or JSON with NaN, huge numbers or half characters."""
    try:
        text = data.decode("utf-8").removeprefix("\ufeff").rstrip()
    except UnicodeDecodeError:
        return undecoded(place)
    try:
        value, odd = parse_json(text)
    except json.JSONDecodeError as error:
        return _broken(error, text, place)
    except RecursionError:
        return _too_deep(place)
    if has_broken_text(value):
        return undecoded(place)
    read = read_value(value, place, text.count("{") + text.count("["))
    if odd and read.row is not None:
        return Read(place, read.row, Problem(
            f"{odd[0]} is not JSON and was read as null.", place, "Write null or a number.",
            "odd_number"))
    return read


def _broken(error: json.JSONDecodeError, text: str, place: str) -> Read:
    what = f"not valid JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
    if error.pos >= len(text) or error.msg.startswith("Unterminated"):
        return left_out(f"{what}; the record ends in the middle.", place,
                        "Complete it, or get the file again: it may have been cut off.")
    if error.msg.startswith("Invalid control"):
        return left_out(f"{what}.", place, "Inside a text, write a tab as \\t and a line break as "
                                           "\\n.")
    if text.lstrip().startswith("{'"):
        return left_out(f"{what}.", place, "JSON takes double quotes only: write \"column\" "
                                           "instead of 'column'.")
    return left_out(f"{what}.", place, "Correct it; a record is one whole object, {...}.")


def parse_json(text: str) -> tuple[Any, list[str]]:
    """The value, and every NaN, Infinity or number beyond a computer's that was read as None.

    Raises json.JSONDecodeError and RecursionError.
    """
    odd: list[str] = []

    def constant(name: str) -> None:
        odd.append(name)

    def number(digits: str) -> float | None:
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            odd.append(digits if len(digits) <= 20 else f"{digits[:20]}...")
            return None
        return value

    def whole(digits: str) -> int | float | None:
        if len(digits) > _LONGEST_NUMBER:
            return number(digits)
        value = int(digits)
        return value if -_LARGEST // 2 <= value < _LARGEST else number(digits)

    return json.loads(text, parse_constant=constant, parse_float=number, parse_int=whole), odd


def _nesting(value: Any) -> int:
    """How many lists and objects lie within each other, counted level by level."""
    depth = 0
    level = [value]
    while level:
        depth += 1
        level = [item for outer in level if isinstance(outer, (dict, list))
                 for item in (outer.values() if isinstance(outer, dict) else outer)
                 if isinstance(item, (dict, list))]
    return depth


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number",
             float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
