"""Mending one row as it stands in its file: its columns and its shape stay what they are.

Each function gives a new row, equal to the old one where there was nothing to mend.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from studio.data.checks.mojibake import mended as decoded
from studio.data.checks.personal import masked
from studio.data.detection import Detection
from studio.data.expressions import columns_in
from studio.data.records import Row
from studio.data.turn_lists import turn_list
from studio.data.turns import ROLES

_Entry = dict[str, Any]
_ANSWER_ROLES = ("output", "completion", "chosen", "rejected")
_BETWEEN_JOINED = "\n\n"


def with_masks(row: Row, detection: Detection) -> Row:
    """Personal data masked, in every column."""
    return _each_text(row, masked)


def with_right_characters(row: Row, detection: Detection) -> Row:
    """Text in a wrong encoding put right, in every column."""
    return _each_text(row, decoded)


def with_roles_in_order(row: Row, detection: Detection) -> Row:
    """System turns in front and joined, neighbours of one role joined, and nothing before the
    first question. A list of turns may stand in any column, also as JSON text."""
    whole = detection.format in ("messages", "sharegpt", None)
    return {name: _each_list(value, lambda entries: _in_order(entries, whole))
            for name, value in row.items()}


def without_stray_blanks(row: Row, detection: Detection) -> Row:
    """Answers without blanks and line breaks around them."""
    answers = {column for role in _ANSWER_ROLES if role in detection.columns
               for column in columns_in(detection.columns[role])}
    return {name: value.strip() if name in answers and isinstance(value, str)
            and turn_list(value) is None else _each_list(value, _answers_stripped)
            for name, value in row.items()}


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _each_text(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return value


def _each_list(value: Any, change: Callable[[list[_Entry]], list[_Entry]]) -> Any:
    """`value` with every list of turns in it changed; JSON text stays JSON text."""
    if _is_turns(value):
        return change(value)
    if isinstance(value, dict):
        return {name: _each_list(item, change) for name, item in value.items()}
    entries = turn_list(value) if isinstance(value, str) else None
    if not _is_turns(entries):
        return value
    assert entries is not None
    changed = change(entries)
    return value if changed == entries else json.dumps(changed, ensure_ascii=False)


def _is_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(entry, dict) and ("role" in entry or "from" in entry) for entry in value)


def _in_order(entries: list[_Entry], whole: bool) -> list[_Entry]:
    """`whole`: the list is a conversation of its own, so it must begin with a question."""
    system = [entry for entry in entries if _role(entry) == "system"]
    others = [entry for entry in entries if _role(entry) != "system"]
    if whole:
        first = next((at for at, entry in enumerate(others) if _role(entry) == "user"), 0)
        others = others[first:]
    return [*_joined(system), *_joined(others)]


def _joined(entries: list[_Entry]) -> list[_Entry]:
    """Neighbours of one role as one entry, with an empty line between their texts."""
    found: list[_Entry] = []
    for entry in entries:
        last = found[-1] if found else {}
        key = _text_key(entry)
        if _role(entry) == _role(last) and key and set(entry) == set(last) <= {
                "role", "from", key, "weight", "name"} and isinstance(last[key], str):
            found[-1] = {**last, key: last[key] + _BETWEEN_JOINED + entry[key]}
        else:
            found.append(entry)
    return found


def _answers_stripped(entries: list[_Entry]) -> list[_Entry]:
    return [{**entry, key: entry[key].strip()}
            if _role(entry) == "assistant" and (key := _text_key(entry)) else entry
            for entry in entries]


def _text_key(entry: _Entry) -> str:
    """The key under which the text stands, "" where there is no plain text."""
    return next((key for key in ("content", "value", "text") if isinstance(entry.get(key), str)),
                "")


def _role(entry: _Entry) -> str | None:
    name = entry.get("role", entry.get("from"))
    return ROLES.get(str(name).strip().lower())
