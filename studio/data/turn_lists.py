"""Finds a list of turns in a value: as such, in a table's cell, or in an object.

Does not read the turns; `turns.py` does.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

import orjson

from studio.data.records import has_broken_text

_OPENS_LIST = re.compile(r"\s*\[\s*\{")
_QUESTIONS = ("human", "user", "input", "question", "prompt", "query")
_ANSWERS = ("assistant", "gpt", "bot", "output", "answer", "response")
_LONGEST_LITERAL = 200_000


def turn_kind(value: Any) -> str | None:
    """"messages" (role, content), "sharegpt" (from, value), or None: not a list of turns."""
    entries = turn_list(value)
    if not entries or not isinstance(entries[0], dict):
        return None
    if "role" in entries[0]:
        return "messages"
    return "sharegpt" if "from" in entries[0] else None


def turn_list(value: Any) -> list[Any] | None:
    """The entries of a list of turns: of a list, JSON text, one turn, {"messages": [...]}, or
    {"role": [...], "content": [...]}; None where `value` is none of them. Pairs of a question and
    its answer become two entries each."""
    entries = _entries(value)
    if entries and isinstance(entries[0], dict) and "role" not in entries[0] \
            and "from" not in entries[0]:
        return _unpaired(entries)
    return entries


def _unpaired(entries: list[Any]) -> list[Any]:
    """[{"human": q, "assistant": a}, ...] as turns; other entries as they are."""
    question = next((name for name in _QUESTIONS if name in entries[0]), None)
    answer = next((name for name in _ANSWERS if name in entries[0]), None)
    if question is None or answer is None:
        return entries
    turns: list[Any] = []
    for entry in entries:
        if not isinstance(entry, dict):
            return entries
        if entry.get("system"):
            turns.append({"role": "system", "content": entry["system"]})
        turns += [{"role": "user", "content": entry.get(question)},
                  {"role": "assistant", "content": entry.get(answer)}]
    return turns


def _entries(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        # Most texts are no list, and this is asked of every prompt.
        return list_in_cell(value) if _OPENS_LIST.match(value) else None
    if not isinstance(value, dict):
        return None
    inner = value.get("messages")
    if isinstance(inner, list):
        return inner
    name = value.get("role", value.get("from"))
    if isinstance(name, str):
        return [value]
    return _transposed(value) if isinstance(name, list) else None


def list_in_cell(value: Any) -> list[Any] | None:
    """A list, as such or written in a table's cell: JSON, or what Python prints, as pandas does;
    None where it is none."""
    if not isinstance(value, str):
        return value if isinstance(value, list) else None
    text = value.strip()
    if not text.startswith("["):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = _literal(text)
    return found if isinstance(found, list) else None


def _literal(text: str) -> Any:
    if len(text) > _LONGEST_LITERAL:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes, which are the text's own
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return None if has_broken_text(value) else value


def _transposed(value: dict[str, Any]) -> list[Any] | None:
    """A list for each key instead of an object for each turn."""
    lists = {key: items for key, items in value.items() if isinstance(items, list)}
    if len({len(items) for items in lists.values()}) != 1:
        return None
    return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]


def alternating(entries: list[Any]) -> list[Any]:
    """Texts that belong to the user and the assistant in turn."""
    return [{"role": "assistant" if at % 2 else "user", "content": text}
            for at, text in enumerate(entries)]
