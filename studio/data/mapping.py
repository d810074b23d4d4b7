"""What a person needs to say which column plays which part: parts, columns, and a first guess.

Plain values for a form. What an entry may look like is in `expressions.py`; whether it fits the
source is checked by `choose_format` in `detect.py`, which names near columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from studio.data import shapes
from studio.data.detect import detect
from studio.data.groups import Groups
from studio.data.guess import guess_columns


@dataclass(frozen=True)
class Part:
    """One part of a format. `usual` are the column names that are found without help."""

    role: str
    label: str
    help: str
    needed: bool
    usual: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """A column, or a place inside one, that may play a part. `expression` is what
    `data.columns` says for it; `sample` is its first value, shortened."""

    expression: str
    kind: str
    sample: str
    filled: int


_WORDS = {
    "prompt": ("Prompt", "What the model is asked: a text, or a list of turns."),
    "completion": ("Answer", "What it should answer: a text, a number, or a list of turns."),
    "instruction": ("Instruction", "What the model is asked to do."),
    "input": ("Input", "What the instruction is about; it is written below it."),
    "output": ("Answer", "What it should answer."),
    "messages": ("Turns", "A list of turns with role and content, or JSON text of one."),
    "conversations": ("Turns", "A list of turns with from and value, or JSON text of one."),
    "system": ("System", "Who the model is and how it behaves, before the first question."),
    "tools": ("Tools", "A list of the functions that the assistant may call, as JSON schemas."),
    "history": ("History", "Earlier questions and answers: [[question, answer], ...]."),
    "text": ("Text", "The whole text."),
    "chosen": ("Better answer", "A text, or turns that may hold the prompt too."),
    "rejected": ("Worse answer", "In the same form as the better one."),
    "label": ("Good or bad", "true, yes or 1 for a good answer; false, no or 0 for a bad one."),
}
EXPRESSION_HELP = (
    "A column; a place inside one, such as meta.question or turns.0.text; or a text with columns "
    "in braces, such as {question} {context?}, where ? marks one that may be absent."
)


def parts_of(format: str) -> tuple[Part, ...]:
    """The parts of a format, needed ones first. Raises KeyError for a name that is none."""
    shape = shapes.BY_NAME[format]
    return tuple(
        Part(role, *_WORDS[role], role in shape.needed, names)
        for role, names in {**shape.needed, **shape.optional}.items())


def choices_of(groups: Groups) -> tuple[Choice, ...]:
    """Every column, then every place inside one that was seen, in order of appearance."""
    return tuple(Choice(name, column.kind, column.sample, column.filled)
                 for found in (groups.columns, groups.paths) for name, column in found.items())


def suggest(groups: Groups) -> dict[str, str]:
    """A first guess at `data.columns`: the detected columns, or those whose names or contents
    come near a format. Empty where nothing does."""
    found = detect(groups, "")
    return found.columns if found.format is not None else guess_columns(groups)
