"""The formats the studio knows: which columns each needs, and under which names they come.

A table and the function that matches one row against it. Deciding for a whole file is in
`formats.py`, turning rows into turns in `conversations.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studio.data.records import Row


@dataclass(frozen=True)
class Shape:
    """One format. `needed` and `optional`: role -> usual column names, best first."""

    format: str
    looks_like: str
    needed: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]]

    @property
    def roles(self) -> tuple[str, ...]:
        return (*self.needed, *self.optional)


_SYSTEM = {"system": ("system", "system_prompt")}
_PROMPTS = ("prompt", "question", "query", "input", "instruction", "problem")
_COMPLETIONS = ("completion", "response", "answer", "output", "solution", "target", "reply")

SHAPES = (
    Shape("preference", "chosen and rejected answers", {
        "chosen": ("chosen",), "rejected": ("rejected",)}, {"prompt": _PROMPTS}),
    Shape("messages", "a list of turns with role and content",
          {"messages": ("messages", "conversations", "conversation", "chat", "dialog")}, {}),
    Shape("sharegpt", "a list of turns with from and value",
          {"conversations": ("conversations", "conversation", "messages")}, _SYSTEM),
    Shape("kto", "a prompt, a completion, and a label that says whether it is good", {
        "prompt": _PROMPTS, "completion": _COMPLETIONS, "label": ("label",)}, {}),
    Shape("alpaca", "instruction, perhaps an input, and output",
          {"instruction": ("instruction",), "output": ("output", "response", "answer")},
          {"input": ("input", "context"), **_SYSTEM}),
    Shape("prompt_completion", "a prompt and its completion",
          {"prompt": _PROMPTS, "completion": _COMPLETIONS}, _SYSTEM),
    Shape("text", "plain text", {"text": ("text", "content", "document")}, {}),
    Shape("prompts", "prompts without answers", {"prompt": _PROMPTS}, {}),
)
"""In the order in which they are tried: a row belongs to the first that it fills."""

BY_NAME = {shape.format: shape for shape in SHAPES}
_TURN_ROLES = {"messages": "messages", "conversations": "sharegpt"}


def match(row: Row) -> tuple[str, dict[str, str]] | None:
    """(format, role -> column) of one row, or None. Looks at names and kinds, not at the words."""
    names = {str(name).strip().lower(): name for name, value in row.items() if value is not None}
    for shape in SHAPES:
        columns = columns_for(shape, names)
        if columns is not None and _kinds_fit(shape, columns, row):
            return shape.format, columns
    return None


def columns_for(shape: Shape, names: dict[str, str]) -> dict[str, str] | None:
    """role -> column among `names` (lower case -> as written), None where a needed one lacks."""
    columns: dict[str, str] = {}
    for role, usual in {**shape.needed, **shape.optional}.items():
        taken = set(columns.values())
        found = next((names[name] for name in usual
                      if name in names and names[name] not in taken), None)
        if found is not None:
            columns[role] = found
        elif role in shape.needed:
            return None
    return columns


def _kinds_fit(shape: Shape, columns: dict[str, str], row: Row) -> bool:
    if shape.format == "alpaca" and "input" not in columns and columns["output"] != "output":
        return False  # instruction and response alone are a prompt and its completion
    if shape.format == "kto":
        return is_yes_or_no(row[columns["label"]])
    for role in shape.needed:
        if role in _TURN_ROLES and turn_kind(row[columns[role]]) != _TURN_ROLES[role]:
            return False
    return shape.format != "text" or isinstance(row[columns["text"]], str)


def is_yes_or_no(value: Any) -> bool:
    """A KTO label: true or false, as such, as 0 or 1, or written in a table's cell."""
    return isinstance(value, (bool, int, str)) and str(value).lower() in (
        "true", "false", "0", "1")


def turn_kind(value: Any) -> str | None:
    """"messages" (role, content), "sharegpt" (from, value), or None: not a list of turns."""
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return None
    if "role" in value[0]:
        return "messages"
    return "sharegpt" if "from" in value[0] else None
