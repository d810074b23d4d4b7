"""Which texts of a sample are asked and which are answered.

System turns are left out: they are the same words in every row and say nothing about two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

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


def prompt_and_answer(sample: Sample) -> tuple[list[str], list[str]]:
    """(texts of the prompt, texts of the answers), each in order. Plain text is an answer."""
    match sample:
        case PlainText():
            return [], [sample.text]
        case Conversation():
            return _asked(sample.turns), _answered(sample.turns)
        case Preference():
            return _asked(sample.prompt), [*_answered(sample.prompt), *_all(sample.chosen),
                                           *_all(sample.rejected)]
        case Judged():
            return _asked(sample.prompt), [*_answered(sample.prompt), *_all(sample.completion)]
        case PromptOnly():
            return _asked(sample.prompt), _answered(sample.prompt)


def taught_texts(row: Row, sample: Sample | RowFault) -> list[str]:
    """Every text that a model would see; of a row that cannot be taught, every text in it."""
    if isinstance(sample, RowFault):
        return list(strings_in(row))
    texts = [text for turn in turns_of(sample) for text in _texts(turn)]
    return [sample.text] if isinstance(sample, PlainText) else texts


def turns_of(sample: Sample) -> list[Turn]:
    """All turns of a sample in order, none for plain text; a preference pair gives both answers."""
    match sample:
        case PlainText():
            return []
        case Conversation():
            return sample.turns
        case Preference():
            return [*sample.prompt, *sample.chosen, *sample.rejected]
        case Judged():
            return [*sample.prompt, *sample.completion]
        case PromptOnly():
            return sample.prompt


def strings_in(value: Any) -> Iterator[str]:
    """Every text in a JSON-like value, names of columns left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)


def _asked(turns: Sequence[Turn]) -> list[str]:
    return [text for turn in turns if turn["role"] not in ("system", "assistant")
            for text in _texts(turn)]


def _answered(turns: Sequence[Turn]) -> list[str]:
    return [text for turn in turns if turn["role"] == "assistant" for text in _texts(turn)]


def _all(turns: Sequence[Turn]) -> list[str]:
    return [text for turn in turns for text in _texts(turn)]


def _texts(turn: Turn) -> list[str]:
    """The content, and what a call of a tool says."""
    content = turn.get("content")
    texts = [content] if isinstance(content, str) else list(strings_in(content))
    if turn.get("reasoning_content"):
        texts.append(str(turn["reasoning_content"]))
    if turn.get("tool_calls"):
        texts += strings_in(turn["tool_calls"])
    return texts
