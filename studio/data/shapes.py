"""The formats the studio knows: which columns each needs, and under which names they come.

A table and the function that matches one row against it. Deciding for a whole source is in
`detect.py`, reading a row as a sample in `convert.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from studio.data.dialogue import read_prompt, style_of
from studio.data.records import Row
from studio.data.tools import may_be_tools
from studio.data.turn_lists import turn_kind


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


@dataclass(frozen=True, eq=False, slots=True)
class Match:
    """A format and its columns (role -> column; not to be changed). Rows with the same columns
    share one."""

    format: str
    columns: dict[str, str]


_SYSTEM = {"system": ("system", "system_prompt", "system_message")}
_TOOLS = {"tools": ("tools", "functions")}
_INPUT = {"input": ("input", "context")}
_PROMPTS = ("prompt", "question", "query", "instruction", "input", "problem", "user", "human")
_COMPLETIONS = ("completion", "response", "answer", "output", "solution", "target", "reply",
                "answers", "assistant")
_TURNS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "turns")
_TEXTS = ("text", "content", "document")

SHAPES = (
    Shape("preference", "chosen and rejected answers", {
        "chosen": ("chosen", "chosen_response", "preferred_output", "response_j"),
        "rejected": ("rejected", "rejected_response", "non_preferred_output", "response_k"),
    }, {"prompt": (*_PROMPTS, "conversations", "conversation"), **_INPUT, **_SYSTEM, **_TOOLS}),
    Shape("kto", "an answer and a label that says whether it is good", {
        "completion": (*_COMPLETIONS, *_TURNS), "label": ("label", "kto_tag")},
        {"prompt": _PROMPTS, **_INPUT, **_SYSTEM, **_TOOLS}),
    Shape("messages", "a list of turns", {"messages": _TURNS},
          {**_SYSTEM, **_TOOLS}),
    Shape("sharegpt", "a list of turns with from and value",
          {"conversations": ("conversations", "conversation", *_TURNS)}, {**_SYSTEM, **_TOOLS}),
    Shape("alpaca", "instruction, perhaps an input, and output",
          {"instruction": ("instruction",), "output": ("output", *_COMPLETIONS)},
          {**_INPUT, **_SYSTEM, "history": ("history",)}),
    Shape("prompt_completion", "a prompt and its completion",
          {"prompt": _PROMPTS, "completion": _COMPLETIONS}, {**_SYSTEM, **_TOOLS}),
    Shape("dialogue", "a conversation written as one text with marks such as ### Human:",
          {"text": (*_TEXTS, *_TURNS, "prompt", "input")}, _SYSTEM),
    Shape("text", "plain text", {"text": _TEXTS}, {}),
    Shape("prompts", "prompts without answers", {"prompt": (*_PROMPTS, *_TURNS)},
          {**_INPUT, **_SYSTEM, **_TOOLS}),
)
"""In the order in which they are tried: a row belongs to the first that it fills."""

BY_NAME = {shape.format: shape for shape in SHAPES}
_ANY_COLUMN = {"messages": "messages", "sharegpt": "conversations", "dialogue": "text"}
"""format -> the role whose kind decides, so that every column of a usual name is tried."""


def match(row: Row) -> Match | None:
    """Format and columns of one row, or None. Looks at names and kinds, not at the words."""
    # A column that is null counts as absent.
    names = tuple([name for name, value in row.items() if value is not None])
    for fits, found in _candidates(names):
        if fits is None or fits(row, found.columns):
            return found
    return None


def columns_for(shape: Shape, names: dict[str, str]) -> dict[str, str] | None:
    """role -> column among `names` (see `by_usual_name`), None where a needed one lacks."""
    columns: dict[str, str] = {}
    for role, usual in {**shape.needed, **shape.optional}.items():
        taken = set(columns.values())
        found = next((names[name] for name in usual
                      if name in names and names[name] not in taken), None)
        if found is not None:
            columns[role] = found
        elif role in shape.needed:
            return None
    if "prompt" in shape.roles and columns.get("prompt") != names.get("instruction"):
        columns.pop("input", None)  # only an instruction has an input
    return columns


def by_usual_name(columns: tuple[str, ...] | list[str]) -> dict[str, str]:
    """"system_prompt" -> "System Prompt": the name as the table above spells it -> as written."""
    return {str(name).strip().lower().replace(" ", "_").replace("-", "_"): name
            for name in reversed(columns)}


def is_yes_or_no(value: Any) -> bool:
    """A KTO label: true or false, as such, as 0 or 1, or written in a table's cell."""
    return yes_or_no(value) is not None


def yes_or_no(value: Any) -> bool | None:
    """The label that `value` spells, or None."""
    if isinstance(value, (bool, int, float)):
        return bool(value) if value in (0, 1) else None
    return _LABELS.get(value.strip().lower()) if isinstance(value, str) else None


_LABELS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False,
           "yes": True, "no": False}

_Fits = Callable[[Row, dict[str, str]], bool]


@lru_cache(maxsize=4096)
def _candidates(names: tuple[str, ...]) -> tuple[tuple[_Fits | None, Match], ...]:
    """Every format that a row with these columns may have, and what its values must fulfil."""
    usual = by_usual_name(names)
    found: list[tuple[_Fits | None, Match]] = []
    for shape in SHAPES:
        for columns in _assignments(shape, usual):
            if not _names_fit(shape, columns, usual):
                continue
            fits = _FITS.get(shape.format)
            if "tools" in columns:
                found.append((_and_tools(fits), Match(shape.format, columns)))
                columns = {role: name for role, name in columns.items() if role != "tools"}
            found.append((fits, Match(shape.format, columns)))
    return tuple(found)


def _assignments(shape: Shape, names: dict[str, str]) -> list[dict[str, str]]:
    role = _ANY_COLUMN.get(shape.format)
    if role is None:
        columns = columns_for(shape, names)
        return [] if columns is None else [columns]
    found = []
    for usual in dict.fromkeys(shape.needed[role]):
        one = Shape(shape.format, "", {role: (usual,)}, shape.optional)
        columns = columns_for(one, names)
        if columns is not None:
            found.append(columns)
    return found


def _names_fit(shape: Shape, columns: dict[str, str], names: dict[str, str]) -> bool:
    if shape.format == "alpaca":
        # Instruction and response alone are a prompt and its completion.
        return "input" in columns or names.get("output") == columns["output"]
    if shape.format in ("text", "prompts") and is_tree_of_messages(names):
        return False
    if shape.format == "prompts":
        return columns["prompt"] not in {names.get(name) for name in _TURNS}
    return True


def is_tree_of_messages(names: Mapping[str, str] | list[str]) -> bool:
    """One message a row, each naming the one it answers, or one tree of them, as Open Assistant
    publishes them: no row holds a conversation."""
    return {"message_id", "role", "text"} <= set(names) or \
        {"message_tree_id", "prompt"} <= set(names)


def _fits_kto(row: Row, columns: dict[str, str]) -> bool:
    if not is_yes_or_no(row[columns["label"]]):
        return False
    answer = row[columns["completion"]]
    return "prompt" in columns or turn_kind(answer) is not None or (
        isinstance(answer, str) and style_of(answer) is not None)


def _fits_messages(row: Row, columns: dict[str, str]) -> bool:
    value = row[columns["messages"]]
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], str):
        return True  # texts that alternate
    return turn_kind(value) == "messages"


def _fits_sharegpt(row: Row, columns: dict[str, str]) -> bool:
    return turn_kind(row[columns["conversations"]]) == "sharegpt"


def _fits_dialogue(row: Row, columns: dict[str, str]) -> bool:
    value = row[columns["text"]]
    if not isinstance(value, str) or style_of(value) is None:
        return False
    # A text that stops where its last answer would begin is a prompt, if it is called one.
    return columns["text"].strip().lower() not in ("prompt", "input") or read_prompt(value) is None


def _fits_text(row: Row, columns: dict[str, str]) -> bool:
    return isinstance(row[columns["text"]], str)


_FITS: dict[str, _Fits] = {
    "kto": _fits_kto, "messages": _fits_messages, "sharegpt": _fits_sharegpt,
    "dialogue": _fits_dialogue, "text": _fits_text,
}


def _and_tools(fits: _Fits | None) -> _Fits:
    def both(row: Row, columns: dict[str, str]) -> bool:
        return may_be_tools(row[columns["tools"]]) and (fits is None or fits(row, columns))
    return both
