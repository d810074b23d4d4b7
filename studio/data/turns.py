"""Turns, however they are spelled, as the one list that chat templates take.

Knows the names of roles, texts in blocks, and tool calls; checks what every template takes for
granted. Finding the list in a value is in `turn_lists.py`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from studio.data.samples import RowFault, Turn
from studio.data.tools import as_json, read_calls

_CALL = "call"
ROLES = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant",
    "chatgpt": "assistant", "chatbot": "assistant", "ai": "assistant",
    "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "observation": "tool", "tool_response": "tool",
    "function_response": "tool", "tool_result": "tool", "ipython": "tool",
    "function_call": _CALL, "tool_call": _CALL,
}
"""Name of a role as data sets write it -> system, user, assistant, tool, or a turn that is a tool
call of the assistant's."""

_KEPT = ("reasoning_content", "thinking")
"""What the assistant thought, under the keys that chat templates look at."""


def read_turns(entries: list[Any]) -> list[Turn]:
    """Turns of role and content; tool calls become part of the assistant's turn.

    Raises RowFault that names the turn, counted from 1.
    """
    turns: list[Turn] = []
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise RowFault("bad_turn", f"turn {number} is not an object.",
                           "Write role and content.")
        role = _role(entry, number)
        if role == _CALL:
            _add_call(turns, entry, number)
            continue
        content = _content_of(entry)
        turn: Turn = {"role": role, "content": content}
        if role == "assistant":
            _complete_answer(turn, entry, number)
        elif role == "tool":
            _complete_result(turn, entry, number)
        elif type(content) is not str:
            turn["content"] = _text(content, number)
        turns.append(turn)
    return turns


def check_conversation(turns: list[Turn]) -> None:
    """Raises RowFault unless a template can take the turns and there is an answer to learn."""
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    if not answers:
        raise RowFault("no_answer", "has no answer: no turn is the assistant's.",
                       "Add an assistant turn or remove the record.")
    for turn in answers:
        if not turn.get("tool_calls") and (not turn["content"] or turn["content"].isspace()):
            raise RowFault("empty_answer", "an answer is empty.",
                           "Write an answer or remove the record.")
    check_order(turns)


def check_order(turns: list[Turn]) -> None:
    """Raises RowFault("role_order") unless turns alternate behind at most one system turn."""
    roles = [turn["role"] for turn in turns]
    first = next((role for role in roles if role != "system"), "user")
    if first == "assistant":
        raise RowFault("role_order", "begins with the assistant: there is nothing to answer.",
                       "Begin with a user turn.")
    if first == "tool":
        raise RowFault("role_order", "begins with the result of a tool.", "Begin with a user turn.")
    for number, (role, following) in enumerate(pairwise(roles), start=2):
        if role == following and role != "tool":
            raise RowFault(
                "role_order", f"turns {number - 1} and {number} are both the {role}'s.",
                "Join them, or let user and assistant take turns.")
        if following == "system":
            raise RowFault("role_order", f"turn {number} is a system turn; it must come first.",
                           "Move it.")
        if following == "tool" and role not in ("assistant", "tool"):
            raise RowFault("role_order", f"turn {number} is the result of a tool that nobody "
                           "called.", "Put it behind the assistant's call.")


def _role(entry: dict[str, Any], number: int) -> str:
    name = entry.get("role")
    if name is None:
        name = entry.get("from")
    role = ROLES.get(name) if type(name) is str else None
    if role is None:
        role = ROLES.get(str(name or "").strip().lower().replace("-", "_"))
    if role is None:
        said = "no role" if name is None else f"the role {str(name)[:60]!r}"
        raise RowFault("unknown_role", f"turn {number} has {said}.",
                       "Roles are system, user, assistant and tool.")
    return role


def _content_of(entry: dict[str, Any]) -> Any:
    content = entry.get("content")
    if content is None:
        content = entry.get("value")
    return entry.get("text") if content is None else content


def _text(content: Any, number: int) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, (int, float)) and not isinstance(content, bool):
        return str(content)
    blocks = content if isinstance(content, list) else []
    texts = [_block_text(block) for block in blocks]
    if texts and None not in texts:
        return "".join(text for text in texts if text is not None)
    other = next((block["type"] for block in blocks
                  if isinstance(block, dict) and isinstance(block.get("type"), str)
                  and _block_text(block) is None), None)
    held = f" alone: it holds {other[:60]!r}" if other else ""
    raise RowFault("bad_turn", f"turn {number} has no text{held}.",
                   "Give every turn a text; pictures and sounds cannot be taught.")


def _block_text(block: Any) -> str | None:
    if isinstance(block, dict) and isinstance(block.get("text"), str):
        text: str = block["text"]
        return text
    return block if isinstance(block, str) else None


def _complete_answer(turn: Turn, entry: dict[str, Any], number: int) -> None:
    """Text, calls, and thoughts of an assistant's turn."""
    calls = []
    if len(entry) > 2:
        calls = read_calls(entry.get("tool_calls"), number) or \
            read_calls(entry.get("function_call"), number)
        for key in _KEPT:
            if isinstance(entry.get(key), str) and entry[key]:
                turn[key] = entry[key]
    content = turn["content"]
    if calls and not content:
        turn["content"] = ""
    elif content is None:
        raise RowFault("empty_answer", f"turn {number} has no text.",
                       "Write an answer or remove the record.")
    elif type(content) is not str:
        turn["content"] = _text(content, number)
    if calls:
        turn["tool_calls"] = calls


def _complete_result(turn: Turn, entry: dict[str, Any], number: int) -> None:
    """What a tool gave, as text; an object becomes JSON."""
    content = turn["content"]
    if type(content) is not str:
        is_blocks = isinstance(content, list) and content and \
            all(_block_text(block) is not None for block in content)
        turn["content"] = _text(content, number) if is_blocks or content is None \
            else as_json(content)
    for key in ("name", "tool_call_id"):
        if isinstance(entry.get(key), str):
            turn[key] = entry[key]


def _add_call(turns: list[Turn], entry: dict[str, Any], number: int) -> None:
    """A turn that is a call belongs to the assistant's turn before it, or is one."""
    calls = read_calls(_content_of(entry), number)
    if not calls:
        raise RowFault("bad_turn", f"turn {number} is a tool call without content.",
                       'Write a call as {"name": ..., "arguments": {...}}.')
    if turns and turns[-1]["role"] == "assistant":
        turns[-1].setdefault("tool_calls", []).extend(calls)
    else:
        turns.append({"role": "assistant", "content": "", "tool_calls": calls})
