"""Turns one row of any format into turns of a conversation, or into plain text.

Checks what every chat template takes for granted: known roles, texts where texts belong, an
answer that is not empty. Does not apply a template; `render.py` does.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from studio.data import shapes
from studio.data.detection import Detection
from studio.data.records import Row
from studio.errors import DataError

Turn = dict[str, str]
Conversation = list[Turn] | str
"""Turns of {"role", "content"}, or plain text that is taught as it stands."""

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
          "model": "assistant", "bot": "assistant", "chatgpt": "assistant", "system": "system",
          "developer": "system"}


def to_messages(row: Row, detection: Detection) -> Conversation:
    """The conversation in `row`. Raises DataError that says what the row lacks.

    Preference and KTO rows give the conversation with the chosen or only answer; a row of
    prompts gives the prompt alone.
    """
    columns = _columns(row, detection)
    match detection.format:
        case "text":
            return _text(row, columns["text"])
        case "messages" | "sharegpt":
            return _from_turns(row, columns)
        case "alpaca":
            return _from_alpaca(row, columns)
        case "preference":
            return _pair(row, columns, "chosen")
        case "prompts":
            return _prompt(row, columns)
        case _:
            return _pair(row, columns, "completion")


def _columns(row: Row, detection: Detection) -> dict[str, str]:
    """The detected columns, or this row's own where it spells them otherwise."""
    if detection.format is None:
        raise DataError("The format of the data is not known.", detection.why)
    needed = shapes.BY_NAME[detection.format].needed
    missing = [role for role in needed if row.get(detection.columns.get(role, "")) is None]
    if not missing:
        return detection.columns
    own = None if detection.chosen else shapes.match(row)
    if own is not None and own[0] == detection.format:
        return own[1]
    lacking = ", ".join(f"{role} ({detection.columns.get(role, role)!r})" for role in missing)
    raise DataError(f"has no {lacking}.", "Complete the record or remove it.")


def _from_alpaca(row: Row, columns: dict[str, str]) -> Conversation:
    question = _text(row, columns["instruction"])
    given = row.get(columns.get("input", ""))
    if given is not None and str(given).strip():
        question = f"{question}\n\n{_as_text(given, columns['input'])}"
    return [*_system(row, columns), {"role": "user", "content": question},
            {"role": "assistant", "content": _answer(row, columns["output"])}]


def _pair(row: Row, columns: dict[str, str], answer_role: str) -> Conversation:
    """prompt + answer, each a text or a list of turns; chosen/rejected may hold the prompt."""
    answer = row[columns[answer_role]]
    prompt = row.get(columns.get("prompt", ""))
    before = [] if prompt is None else _prompt(row, columns)
    if shapes.turn_kind(answer):
        return _checked([*before, *_turns(answer)])
    turns = [*before, {"role": "assistant", "content": _answer(row, columns[answer_role])}]
    return _checked(turns)


def _prompt(row: Row, columns: dict[str, str]) -> list[Turn]:
    prompt = row[columns["prompt"]]
    if shapes.turn_kind(prompt):
        return [*_system(row, columns), *_turns(prompt)]
    return [*_system(row, columns), {"role": "user", "content": _text(row, columns["prompt"])}]


def _from_turns(row: Row, columns: dict[str, str]) -> Conversation:
    value = row[columns.get("messages") or columns["conversations"]]
    if not shapes.turn_kind(value):
        raise DataError("has no list of turns.", 'Write turns as {"role": ..., "content": ...}.')
    turns = _turns(value)
    if turns and turns[0]["role"] != "system":
        turns = [*_system(row, columns), *turns]
    return _checked(turns)


def _turns(value: list[Any]) -> list[Turn]:
    turns = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, dict):
            raise DataError(f"turn {number} is not an object.", "Write role and content.")
        name = str(turn.get("role", turn.get("from", "")))
        role = _ROLES.get(name.strip().lower())
        if role is None:
            raise DataError(f"turn {number} has the role {name!r}.",
                            "Roles are system, user and assistant.")
        content = turn.get("content", turn.get("value"))
        turns.append({"role": role, "content": _content(content, number)})
    return turns


def _content(content: Any, number: int) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = [block["text"] for block in blocks
             if isinstance(block, dict) and isinstance(block.get("text"), str)]
    if texts and len(texts) == len(blocks):
        return "".join(texts)
    raise DataError(f"turn {number} has no text.",
                    "Give every turn a text; pictures and tool calls cannot be taught yet.")


def _checked(turns: list[Turn]) -> list[Turn]:
    """The turns, if a template can take them and there is an answer to learn."""
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    if not answers:
        raise DataError("has no answer: no turn is the assistant's.",
                        "Add an assistant turn or remove the record.")
    if not all(turn["content"].strip() for turn in answers):
        raise DataError("an answer is empty.", "Write an answer or remove the record.")
    before = turns[: turns.index(answers[0])]
    if not any(turn["role"] == "user" for turn in before):
        raise DataError("begins with the assistant: there is nothing to answer.",
                        "Begin with a user turn.")
    for number, (turn, following) in enumerate(pairwise(turns), start=2):
        if following["role"] == "system":
            raise DataError(f"turn {number} is a system turn; it must come first.", "Move it.")
        if turn["role"] == following["role"]:
            raise DataError(f"turns {number - 1} and {number} are both the {turn['role']}'s.",
                            "Join them, or let user and assistant take turns.")
    return turns


def _system(row: Row, columns: dict[str, str]) -> list[Turn]:
    text = row.get(columns.get("system", ""))
    if not isinstance(text, str) or not text.strip():
        return []
    return [{"role": "system", "content": text}]


def _answer(row: Row, column: str) -> str:
    text = _as_text(row[column], column)
    if not text.strip():
        raise DataError(f"the answer in {column!r} is empty.", "Write one or remove the record.")
    return text


def _text(row: Row, column: str) -> str:
    text = _as_text(row[column], column)
    if not text.strip():
        raise DataError(f"{column!r} is empty.", "Write a text or remove the record.")
    return text


def _as_text(value: Any, column: str) -> str:
    """Numbers in a table's cell are texts to a model; lists and objects are a mistake."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{column!r} holds {type(value).__name__} instead of text.",
                    "Write text there, or choose another column.")
