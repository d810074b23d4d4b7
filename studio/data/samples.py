"""What a record means once its format is known: the kinds of example the studio can teach.

Plain values only. Reading a row as one of these is `convert.py`; turning one into tokens is
`render.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from studio.errors import DataError

Turn = dict[str, Any]
"""{"role", "content"}; an assistant's may have `tool_calls`, a tool's `name` and `tool_call_id`."""


@dataclass(frozen=True)
class Conversation:
    """Turns in order, at least one of them the assistant's. `tools` are JSON schemas."""

    turns: list[Turn]
    tools: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class PlainText:
    """Text that is taught as it stands, without a template."""

    text: str


@dataclass(frozen=True)
class Preference:
    """One prompt and two answers, each a list of turns; `chosen` is the better one."""

    prompt: list[Turn]
    chosen: list[Turn]
    rejected: list[Turn]
    tools: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Judged:
    """A conversation whose last answer is good or bad (KTO)."""

    prompt: list[Turn]
    completion: list[Turn]
    label: bool
    tools: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class PromptOnly:
    """Turns that end where an answer would begin, for methods that let the model answer."""

    prompt: list[Turn]
    tools: list[dict[str, Any]] | None = None


Sample = Conversation | PlainText | Preference | Judged | PromptOnly


class RowFault(DataError):
    """Why one row cannot be taught. `kind` is the key of the finding that counts it:
    "missing_part", "no_answer", "empty_answer", "role_order", "unknown_role", "bad_turn",
    "template", "no_loss"."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return RowFault, (self.kind, self.message, self.hint)


def shown_turns(turns: list[Turn]) -> str:
    """The turns before an answer as a person reads them, the system's left out."""
    before = [turn for turn in turns if turn["role"] != "system"]
    if len(before) == 1:
        return str(before[0].get("content") or "")
    return "\n".join(f"{turn['role']}: {turn.get('content') or ''}" for turn in before)


def answer_text(turn: Turn) -> str:
    """An assistant's turn as text; one that only calls tools as the JSON of its calls."""
    content = str(turn.get("content") or "")
    calls = turn.get("tool_calls")
    return json.dumps(calls, ensure_ascii=False) if calls and not content else content
