"""Conversations as training data: one column's side of each as a line of chat messages.

Votes take from here how an answer is taught, which answers teach nothing, and where the file goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from studio.chat.conversation import Answer
from studio.chat.prompt import Message
from studio.chat.saved import SavedConversation
from studio.errors import DataError
from studio.files import disk_errors_told, file_written_whole, free_path, safe_name
from studio.settings import Settings

CUT = {"": "is not finished", "length": "was cut at the token limit",
       "context": "was cut where the context is full", "stopped": "was stopped"}
"""Endings of answers that are no whole answers, and so nothing to learn from."""


@dataclass(frozen=True)
class TrainingFile:
    """What was written. `left_out` has a sentence for each conversation that is not whole."""

    path: Path
    records: int
    answers: int
    left_out: tuple[str, ...] = ()


def write_training_file(
    settings: Settings, conversations: list[SavedConversation], column: str
) -> TrainingFile:
    """One line {"messages": [...]} for each conversation, as `column` had it, system prompt first.

    A record ends before the first answer that was cut: taught, it would teach to break off.
    Raises DataError where nothing is left, saying why, and DiskError.
    """
    lines, left_out, answers = [], [], 0
    for kept in conversations:
        count, why = _whole_answers(kept, column)
        if why:
            left_out.append(f"{kept.title or 'This conversation'}: {why}")
        if count:
            answers += count
            lines.append(json.dumps({"messages": _messages(kept, column, count)},
                                    ensure_ascii=False))
    if not lines:
        raise DataError(f"There is nothing to export for {column}. {' '.join(left_out)}".strip(),
                        "Choose another column, or let it answer once more with a longer answer "
                        "allowed.")
    stem = safe_name(f"chat-{column}-{conversations[0].title}"[:60], "chat")
    path = write_new_lines(settings, stem, lines, "The training data")
    return TrainingFile(path, len(lines), answers, tuple(left_out))


def taught_turn(answer: Answer) -> Message:
    """A thought stands under `reasoning_content`, where chat templates look for it."""
    parts = answer.parts
    turn = {"role": "assistant", "content": parts.answer}
    return {**turn, "reasoning_content": parts.thought} if parts.thought else turn


def write_new_lines(settings: Settings, stem: str, lines: Iterable[str], what: str) -> Path:
    """A new .jsonl file where uploaded data lie, so that the Dataset tab may read it whatever
    folders are allowed. Raises DiskError about `what`."""
    path = free_path(settings.uploads, stem, ".jsonl")
    write_lines(path, lines, what)
    return path


def write_lines(path: Path, lines: Iterable[str], what: str) -> None:
    """The lines as `path`, whole or not at all. Raises DiskError about `what`."""
    with disk_errors_told(path.parent, what):
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_written_whole(path) as file:
            file.write(("\n".join(lines) + "\n").encode("utf-8", "replace"))


def _whole_answers(kept: SavedConversation, column: str) -> tuple[int, str]:
    """How many answers of `column` come before the first that is not whole, and what is wrong
    with that one."""
    count = 0
    for turn, exchange in enumerate(kept.conversation.exchanges, start=1):
        answer = exchange.answers.get(column)
        if answer is None or not answer.is_begun:
            continue
        wrong = _wrong(answer)
        if wrong:
            return count, f"the answer to turn {turn} {wrong}, so it and what follows is left out."
        count += 1
    return count, "" if count else f"{column} answered nothing in it."


def _wrong(answer: Answer) -> str:
    if answer.ending in CUT:
        return CUT[answer.ending]
    return "" if answer.parts.answer.strip() else "is empty"


def _messages(kept: SavedConversation, column: str, answers: int) -> list[Message]:
    system = 1 if kept.system.strip() else 0
    side = kept.conversation.side(column, kept.system)[:system + 2 * answers]
    begun = [one.answers[column] for one in kept.conversation.exchanges
             if column in one.answers and one.answers[column].is_begun]
    side[system + 1::2] = [taught_turn(answer) for answer in begun[:answers]]
    return side
