"""What a recipe's `data.columns` may say: a column, a path into one, or a text with {columns}.

    "question"                           the column of that name, whatever it is called
    "meta.question", "turns.0.text"      what lies inside a column of objects or lists
    "{question}\\n\\n{context?}"           a text made of several; ? where one may be absent

Only reads values; what becomes of them is `convert.py`'s matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from studio.data.records import Row
from studio.data.tools import as_json

Getter = Callable[[Row], Any]
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


@lru_cache(maxsize=1024)
def getter(expression: str) -> Getter:
    """A function from a row to the value that `expression` names, None where it is absent."""
    if _PLACEHOLDER.search(expression):
        return _Filled(expression)
    if "." in expression:
        return _Path(expression)
    return _Column(expression)


def columns_in(expression: str) -> list[str]:
    """The columns or paths that an expression reads."""
    inside = [name.removesuffix("?") for name in _PLACEHOLDER.findall(expression)]
    return inside or [expression]


class _Column:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, row: Row) -> Any:
        return row.get(self.name)


class _Path:
    """A column whose name holds the dot goes before what lies inside another."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.steps = path.split(".")

    def __call__(self, row: Row) -> Any:
        if self.path in row:
            return row[self.path]
        value: Any = row
        for step in self.steps:
            value = _inside(value, step)
        return value


def _inside(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.lstrip("-").isdecimal():
        at = int(step)
        return value[at] if -len(value) <= at < len(value) else None
    return None


class _Filled:
    """Absent where a column that it needs is; an exact column of that odd name goes first."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = _PLACEHOLDER.split(text)
        self.getters = [(getter(name.removesuffix("?")), name.endswith("?"))
                        for name in self.parts[1::2]]

    def __call__(self, row: Row) -> Any:
        if self.text in row:
            return row[self.text]
        filled = list(self.parts)
        for at, (get, may_lack) in enumerate(self.getters):
            value = get(row)
            if value is None and not may_lack:
                return None
            filled[2 * at + 1] = as_written(value)
        return "".join(filled)


def as_written(value: Any) -> str:
    """A value inside a text: lists of texts one a line, other lists and objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    if isinstance(value, (bool, list, dict)):
        return as_json(value)
    return str(value)
