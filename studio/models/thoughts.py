"""What a reasoning model thinks before its answer, told apart from the answer.

Knows <think> and <thinking> at the beginning of a text; the same tags further down are part of
the answer, which may be about them. Whether a chat template shows the model its earlier thoughts
is decided in `studio/chat/prompt.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPENING = re.compile(r"\s*<(think|thinking)>")
_OPENED_AT_END = re.compile(r"<(?:think|thinking)>\s*$")


@dataclass(frozen=True)
class Thoughtful:
    """A text in its two parts. `is_thinking`: the thought has not ended, so there is no answer."""

    thought: str
    answer: str
    is_thinking: bool = False


def split_thought(text: str) -> Thoughtful:
    """The thought without its tags, and the answer behind it; all of `text` where none begins it.

    Works on a text that still grows: a thought without an end is all thought.
    """
    opening = _OPENING.match(text)
    if opening is None:
        return Thoughtful("", text)
    thought, closing, answer = text[opening.end():].partition(f"</{opening[1]}>")
    return Thoughtful(thought.strip(), answer.lstrip(), is_thinking=not closing)


def opened_thought(prompt: str) -> str:
    """The tag with which `prompt` ends, "<think>\\n"; "" where it ends otherwise.

    Some chat templates begin the thought themselves, so that the model's text lacks the tag.
    """
    found = _OPENED_AT_END.search(prompt)
    return found[0] if found else ""
