"""A set of prompts, written by hand or from a file: whatever the Dataset tab reads, as questions.

Of a record that has an answer the turns before its last answer are the prompt; a text file gives a
prompt for each paragraph. Answering them is `prompt_answers.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from studio.chat.prompt import Message
from studio.data.convert import to_sample
from studio.data.detect import choose_format, groups_of
from studio.data.reading.sources import Source, sources_of, starter_files
from studio.data.records import Problem, Row
from studio.data.samples import Conversation, PlainText, RowFault, Sample
from studio.errors import DataError
from studio.recipe import Data
from studio.recipe.base import STARTER
from studio.settings import Settings

MOST_PROMPTS = 2000
WRITTEN = "written here"
_NO_TOOLS = ("bad_turn", "calls tools, which the chat does not offer.",
             "Leave the record out, or ask it without tools.")


@dataclass(frozen=True)
class PromptSet:
    """`prompts` are the turns that end with a question, in the order of the file. `problems` say
    which records gave none."""

    name: str
    prompts: tuple[tuple[Message, ...], ...]
    problems: tuple[Problem, ...] = ()


def read_prompts(source: str, settings: Settings, *, most: int = MOST_PROMPTS) -> PromptSet:
    """The first `most` prompts of a file, a folder, or a Hub dataset.

    "starter" is the held-out file of the starter data: asking what was taught would tell little.
    Raises DataError where it cannot be read or holds no prompt.
    """
    data = Data(source=str(starter_files()[1]) if source == STARTER else source)
    found = sources_of(data, settings)[0]
    rows, places, problems = _rows(found, most)
    detection = choose_format(groups_of(rows, places), found.name, data)
    prompts: list[tuple[Message, ...]] = []
    for row, place in zip(rows, places, strict=True):
        try:
            prompts.append(_prompt(to_sample(row, detection)))
        except RowFault as fault:
            problems.append(Problem(fault.message, place, fault.hint, fault.kind))
    if not prompts:
        problems = [*detection.problems, *problems]
        why = f" The first reason: {problems[0]}" if problems else ""
        raise DataError(f"{found.name} holds no prompt.{why}",
                        "Write one prompt per paragraph into a text file, or one "
                        '{"prompt": "..."} per line into a .jsonl file.')
    return PromptSet(found.name, tuple(prompts), tuple(problems))


def written_prompts(text: str) -> PromptSet:
    """Each paragraph is a prompt, as in a text file. Raises DataError for none and too many."""
    found = [part.strip() for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]
    if not 1 <= len(found) <= MOST_PROMPTS:
        raise DataError(f"There are {len(found):,} prompts, but a set has 1 to {MOST_PROMPTS:,}.",
                        "Write a prompt first; an empty line begins the next one.")
    return PromptSet(WRITTEN, tuple(({"role": "user", "content": one},) for one in found))


def _rows(source: Source, most: int) -> tuple[list[Row], list[str], list[Problem]]:
    rows: list[Row] = []
    places: list[str] = []
    problems: list[Problem] = []
    for read in (read for block in source.blocks() for read in block.read()):
        if read.problem is not None:
            problems.append(read.problem)
        if read.row is None:
            continue
        if len(rows) == most:
            problems.append(Problem(
                f"There are more than {most:,} prompts; the first {most:,} are taken.", "",
                "Split the file to ask the others.", "not_read"))
            break
        rows.append(read.row)
        places.append(read.place)
    return rows, places, problems


def _prompt(sample: Sample) -> tuple[Message, ...]:
    """Raises RowFault where a model of the chat cannot be asked this."""
    if isinstance(sample, PlainText):
        return ({"role": "user", "content": sample.text},)
    if sample.tools:
        raise RowFault(*_NO_TOOLS)
    turns = sample.turns if isinstance(sample, Conversation) else sample.prompt
    last = max((at for at, turn in enumerate(turns) if turn["role"] == "user"), default=-1)
    if last < 0:
        raise RowFault("missing_part", "has no question: no turn is the user's.", "Add one.")
    asked = turns[:last + 1]
    if any(turn["role"] == "tool" or turn.get("tool_calls") for turn in asked):
        raise RowFault(*_NO_TOOLS)
    return tuple({"role": turn["role"], "content": turn["content"]} for turn in asked)
