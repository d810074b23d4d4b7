"""Tools that an assistant may call, and its calls, in the one form that chat templates expect.

Takes what OpenAI, ShareGPT as LLaMA-Factory writes it, and tables with JSON text give. Does not
check a tool's schema or a call's arguments against it.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from studio.data.samples import RowFault

DEEPEST_NESTING = 100
Tool = dict[str, Any]
Call = dict[str, Any]


def may_be_tools(value: Any) -> bool:
    """Whether a column called "tools" holds schemas, and not, say, the names of hammers."""
    if isinstance(value, str):
        text = value.strip()
        return not text or text.startswith(("[", "{"))
    if isinstance(value, list):
        return not value or isinstance(value[0], dict) or (
            isinstance(value[0], str) and value[0].lstrip().startswith("{"))
    return isinstance(value, dict)


def read_tools(value: Any) -> list[Tool] | None:
    """Schemas as {"type": "function", "function": {"name", ...}}, or None where there are none.

    `value` is a list, one object, or either as JSON text. Raises RowFault("bad_turn").
    """
    if isinstance(value, str):
        value = _parsed(value, "the tools") if value.strip() else None
    if not value:
        return None
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise _bad("the tools are no list.", 'Write a list of {"name": ..., "parameters": ...}.')
    return [_read_tool(one, number) for number, one in enumerate(value, start=1)]


def _read_tool(value: Any, number: int) -> Tool:
    if isinstance(value, str):
        value = _parsed(value, f"tool {number}")
    if isinstance(value, dict):
        value = without_nulls(value)
        if isinstance(value.get("function"), dict):
            return {"type": "function", **value}
        if value.get("name"):
            return {"type": "function", "function": value}
    raise _bad(f"tool {number} has no name.", 'Write it as {"name": ..., "parameters": ...}.')


def read_calls(value: Any, number: int) -> list[Call]:
    """The calls of turn `number` as {"type": "function", "function": {"name", "arguments"}}.

    `arguments` become an object, since templates write them as JSON themselves. `value` is a
    list, one call, or either as JSON text; [] where it is empty. Raises RowFault("bad_turn").
    """
    if isinstance(value, str):
        value = _parsed(value, f"the tool call of turn {number}") if value.strip() else None
    if isinstance(value, dict):
        value = [value]
    if not value:
        return []
    if not isinstance(value, list):
        raise _bad_call(number)
    return [_read_call(one, number) for one in value]


def _read_call(value: Any, number: int) -> Call:
    if isinstance(value, str):
        value = _parsed(value, f"the tool call of turn {number}")
    if not isinstance(value, dict):
        raise _bad_call(number)
    inner = value.get("function")
    function = inner if isinstance(inner, dict) else value
    name = function.get("name")
    if not isinstance(name, str) or not name.strip():
        raise _bad_call(number)
    arguments = function.get("arguments", function.get("parameters"))
    call: Call = {"type": "function",
                  "function": {"name": name, "arguments": _arguments(arguments, number)}}
    if isinstance(value.get("id"), str):
        call["id"] = value["id"]
    return call


def _arguments(value: Any, number: int) -> dict[str, Any]:
    if isinstance(value, str):
        value = _parsed(value, f"the arguments of the tool call in turn {number}") \
            if value.strip() else None
        require_shallow(value)
    elif isinstance(value, dict):
        value = without_nulls(value)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise _bad(f"the arguments of the tool call in turn {number} are no object.",
               'Write them as {"name": value, ...}.')


def without_nulls(value: Any, depth: int = 0) -> Any:
    """Tables give every object the keys of all others, filled with null; those are taken out."""
    if depth > DEEPEST_NESTING:
        raise _bad("a tool or a call of one is nested too deep.", "Flatten or remove it.")
    if isinstance(value, dict):
        return {key: without_nulls(item, depth + 1)
                for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item, depth + 1) for item in value]
    return value


def require_shallow(value: Any) -> None:
    """Raises RowFault where a template could not write `value`, which JSON text hid until now."""
    without_nulls(value)


def as_json(value: Any) -> str:
    """`value` as JSON in one line, as it was read from JSON."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a whole number beyond 64 bits, half a character, or deep nesting
        try:
            return json.dumps(value, ensure_ascii=False, default=str)
        except RecursionError as error:
            raise _bad("a value is nested too deep to be written.", "Flatten it.") from error


def _parsed(text: str, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _bad(f"{what} cannot be read as JSON ({error}).", "Correct the JSON text.") from error


def _bad_call(number: int) -> RowFault:
    return _bad(f"the tool call of turn {number} has no name.",
                'Write a call as {"name": ..., "arguments": {...}}.')


def _bad(message: str, hint: str) -> RowFault:
    return RowFault("bad_turn", message, hint)
