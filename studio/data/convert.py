"""Reads one row as the sample that its format means.

Checks what every chat template takes for granted: known roles, texts where texts belong, an
answer that is not empty. Does not apply a template and knows no tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from studio.data import shapes
from studio.data.detection import Detection
from studio.data.dialogue import read_dialogue, read_prompt
from studio.data.expressions import getter
from studio.data.records import Row
from studio.data.samples import (
    Conversation,
    Judged,
    PlainText,
    Preference,
    PromptOnly,
    RowFault,
    Sample,
    Turn,
)
from studio.data.tools import Tool, read_calls, read_tools
from studio.data.turn_lists import alternating, list_in_cell, turn_list
from studio.data.turns import check_conversation, check_order, read_turns

_Columns = dict[str, str]


def to_sample(row: Row, detection: Detection) -> Sample:
    """What `row` teaches. Raises RowFault that says what it lacks.

    Without a detected format (a mixed source) a row is read in its own.
    """
    name, columns = detection.format, detection.columns
    if name is None:
        own = shapes.match(row)
        if own is None:
            raise RowFault("missing_part", "has no columns that the studio knows.", detection.why)
        name, columns = own.format, own.columns
    elif any(_value(row, columns, role) is None for role in shapes.BY_NAME[name].needed):
        columns = _own_columns(row, detection)
    return _READERS[name](row, columns)


def _own_columns(row: Row, detection: Detection) -> _Columns:
    """The row's own columns where it spells them otherwise than most."""
    own = None if detection.chosen else shapes.match(row)
    if own is not None and own.format == detection.format:
        return own.columns
    lacking = ", ".join(
        f"{role} ({detection.columns.get(role, role)!r})"
        for role in shapes.BY_NAME[str(detection.format)].needed
        if _value(row, detection.columns, role) is None)
    hint = "Complete the record or remove it."
    if own is not None and own.format != "prompts":
        hint = f"It looks like {own.format}; put it into a file of its own, or remove it."
    raise RowFault("missing_part", f"has no {lacking}.", hint)


def _value(row: Row, columns: _Columns, role: str) -> Any:
    """What plays `role` in this row; None where no column does, or it is null."""
    name = columns.get(role)
    if name is None:
        return None
    value = row.get(name)
    # Most names are plain columns, so the way into nested ones is taken only where that fails.
    return getter(name)(row) if value is None else value


# One reader per format. Each gets columns whose needed values are there.

def _plain_text(row: Row, columns: _Columns) -> Sample:
    return PlainText(_text(row, columns, "text"))


def _conversation(row: Row, columns: _Columns) -> Sample:
    role = "messages" if "messages" in columns else "conversations"
    entries = turn_list(_value(row, columns, role))
    if entries and isinstance(entries[0], str):
        entries = alternating(entries)
    if not entries:
        raise RowFault("missing_part", f"{columns[role]!r} has no list of turns.",
                       'Write turns as {"role": ..., "content": ...}.')
    return _checked(_with_system(row, columns, read_turns(entries)), _tools(row, columns))


def _dialogue(row: Row, columns: _Columns) -> Sample:
    turns = read_dialogue(_text(row, columns, "text"))
    if not turns:
        raise RowFault("missing_part", f"{columns['text']!r} has no marks that say who speaks.",
                       "Write ### Human: before questions and ### Assistant: before answers.")
    return _checked(_with_system(row, columns, turns), None)


def _alpaca(row: Row, columns: _Columns) -> Sample:
    question = _with_input(row, columns, _text(row, columns, "instruction"))
    turns = [*_history(row, columns), {"role": "user", "content": question},
             _answer(row, columns, "output")]
    return _checked(_with_system(row, columns, turns), None)


def _with_input(row: Row, columns: _Columns, question: str) -> str:
    """An instruction and what it is about."""
    given = _value(row, columns, "input")
    if given is None or not str(given).strip():
        return question
    return f"{question}\n\n{_as_text(given, columns['input'])}"


def _history(row: Row, columns: _Columns) -> list[Turn]:
    """Earlier questions and answers, as [[question, answer], ...]."""
    turns: list[Turn] = []
    for pair in list_in_cell(_value(row, columns, "history")) or []:
        if not isinstance(pair, list) or len(pair) != 2 or \
                not all(isinstance(text, str) for text in pair):
            raise RowFault("bad_turn", f"{columns['history']!r} is no list of questions with their "
                           "answers.", "Write it as [[question, answer], ...].")
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return turns


def _prompt_completion(row: Row, columns: _Columns) -> Sample:
    tools = _tools(row, columns)
    turns = _joined(_prompt(row, columns), _completion(row, columns, "completion", tools))
    return _checked(_with_system(row, columns, turns), tools)


def _preference(row: Row, columns: _Columns) -> Sample:
    tools = _tools(row, columns)
    prompt = [] if _value(row, columns, "prompt") is None else _prompt(row, columns)
    chosen, rejected = (
        _with_system(row, columns, _joined(prompt, _completion(row, columns, role, tools)))
        for role in ("chosen", "rejected"))
    if chosen[0]["role"] == rejected[0]["role"] == "assistant":
        raise RowFault("missing_part", "has no prompt that the answers belong to.",
                       "Add a column prompt, or write the question into both.")
    check_conversation(chosen)
    check_conversation(rejected)
    shared = _shared(chosen, rejected)
    if not shared:
        raise RowFault("missing_part", "chosen and rejected do not answer the same prompt.",
                       "Correct the record or remove it.")
    return Preference(chosen[:shared], chosen[shared:], rejected[shared:], tools)


def _judged(row: Row, columns: _Columns) -> Sample:
    label = shapes.yes_or_no(_value(row, columns, "label"))
    if label is None:
        raise RowFault("missing_part", f"the label in {columns['label']!r} is neither true nor "
                       "false.", "Write true for a good answer and false for a bad one.")
    tools = _tools(row, columns)
    prompt = [] if _value(row, columns, "prompt") is None else _prompt(row, columns)
    turns = _with_system(row, columns,
                         _joined(prompt, _completion(row, columns, "completion", tools)))
    if turns[0]["role"] == "assistant":
        raise RowFault("missing_part", "has no prompt that the answer belongs to.",
                       "Add a column prompt, or write the question before the answer.")
    check_conversation(turns)
    behind = max(at for at, turn in enumerate(turns) if turn["role"] == "user") + 1 \
        if any(turn["role"] == "user" for turn in turns) else 0
    if behind == len(turns):
        raise RowFault("no_answer", "ends with the user's turn: there is no answer to judge.",
                       "Add the answer or remove the record.")
    return Judged(turns[:behind], turns[behind:], label, tools)


def _prompt_only(row: Row, columns: _Columns) -> Sample:
    turns = _with_system(row, columns, _prompt(row, columns))
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    if not any(turn["role"] == "user" for turn in turns):
        raise RowFault("missing_part", "has no question: no turn is the user's.",
                       "Add a user turn or remove the record.")
    check_order(turns)
    return PromptOnly(turns, _tools(row, columns))


_READERS: dict[str, Callable[[Row, _Columns], Sample]] = {
    "text": _plain_text, "messages": _conversation, "sharegpt": _conversation,
    "dialogue": _dialogue, "alpaca": _alpaca, "prompt_completion": _prompt_completion,
    "preference": _preference, "kto": _judged, "prompts": _prompt_only,
}


def _checked(turns: list[Turn], tools: list[Tool] | None) -> Conversation:
    check_conversation(turns)
    return Conversation(turns, tools)


def _with_system(row: Row, columns: _Columns, turns: list[Turn]) -> list[Turn]:
    text = _value(row, columns, "system") if "system" in columns else None
    if not isinstance(text, str) or not text.strip() or (turns and turns[0]["role"] == "system"):
        return turns
    return [{"role": "system", "content": text}, *turns]


def _tools(row: Row, columns: _Columns) -> list[Tool] | None:
    if "tools" in columns:
        return read_tools(_value(row, columns, "tools"))
    prompt = _value(row, columns, "prompt")  # OpenAI's preferences keep both in one object
    return read_tools(prompt.get("tools")) if isinstance(prompt, dict) else None


def _prompt(row: Row, columns: _Columns) -> list[Turn]:
    value = _value(row, columns, "prompt")
    entries = turn_list(value)
    if entries:
        return read_turns(entries)
    text = _with_input(row, columns, _text(row, columns, "prompt"))
    return read_prompt(text) or [{"role": "user", "content": text}]


def _completion(
    row: Row, columns: _Columns, role: str, tools: list[Tool] | None
) -> list[Turn]:
    """An answer: a text, a list of turns, a dialogue that holds the prompt, or tool calls."""
    value = _value(row, columns, role)
    entries = turn_list(value)
    if entries and isinstance(entries[0], dict) and ("role" in entries[0] or "from" in entries[0]):
        return read_turns(entries)
    if entries and tools:
        return [{"role": "assistant", "content": "", "tool_calls": read_calls(entries, 1)}]
    answer = _answer(row, columns, role)
    prompt = _value(row, columns, "prompt")
    if prompt is None:
        return read_dialogue(answer["content"]) or [answer]
    if isinstance(prompt, str) and read_prompt(prompt):
        answer["content"] = answer["content"].strip()  # the space behind "Assistant:"
    return [answer]


def _joined(prompt: list[Turn], answer: list[Turn]) -> list[Turn]:
    """Prompt and answer as one conversation; an answer may hold the prompt already."""
    holds_prompt = answer[0]["role"] in ("user", "system") and (
        not prompt or prompt[-1]["role"] != "assistant")
    if not holds_prompt:
        return [*prompt, *answer]
    if prompt and prompt[0]["role"] == "system" and answer[0]["role"] != "system":
        return [prompt[0], *answer]
    return answer


def _shared(chosen: list[Turn], rejected: list[Turn]) -> int:
    """How many turns are the prompt of both: those before the answers part."""
    shared = 0
    for one, other in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != other:
            break
        shared += 1
    while shared and not chosen[shared]["role"] == rejected[shared]["role"] == "assistant":
        shared -= 1
    return shared


def _answer(row: Row, columns: _Columns, role: str) -> Turn:
    text = _as_text(_value(row, columns, role), columns[role])
    if not text or text.isspace():
        raise RowFault("empty_answer", f"the answer in {columns[role]!r} is empty.",
                       "Write one or remove the record.")
    return {"role": "assistant", "content": text}


def _text(row: Row, columns: _Columns, role: str) -> str:
    text = _as_text(_value(row, columns, role), columns[role])
    if not text or text.isspace():
        raise RowFault("missing_part", f"{columns[role]!r} is empty.",
                       "Write a text or remove the record.")
    return text


def _as_text(value: Any, column: str) -> str:
    """Numbers in a table's cell are texts to a model; lists and objects are a mistake."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise RowFault("missing_part", f"{column!r} holds {_KINDS.get(type(value), 'no text')} "
                   "instead of text.", "Write text there, or choose another column.")


_KINDS = {list: "a list", dict: "an object", bool: "true or false", type(None): "nothing"}
