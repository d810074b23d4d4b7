"""A small conversation that a chat template is tried with, and what it makes of it.

Every word of the probe occurs nowhere else, so that it can be told what was left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.data.findings import Finding, Level
from studio.data.samples import RowFault, Turn
from studio.data.templates.extras import Extra
from studio.data.templates.rendering import render_turns, special_tokens_of
from studio.recipe import Data

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SYSTEM: Turn = {"role": "system", "content": "Answer like zebra one."}
QUESTION: Turn = {"role": "user", "content": "Question walnut two?"}
ANSWER: Turn = {"role": "assistant", "content": "Answer violin three."}
AGAIN: Turn = {"role": "user", "content": "Question umbrella four?"}
LAST: Turn = {"role": "assistant", "content": "Answer trumpet five."}
ONE_ANSWER = [QUESTION, ANSWER]
TWO_ANSWERS = [QUESTION, ANSWER, AGAIN, LAST]

TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {
    "name": "lookup_saffron", "description": "Looks something up.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}},
                   "required": ["word"]}}}]
TOOL_CALL: Turn = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "a1b2c3d4e", "type": "function",
     "function": {"name": "lookup_saffron", "arguments": {"word": "rhubarb six"}}}]}
TOOL_RESULT: Turn = {"role": "tool", "name": "lookup_saffron", "tool_call_id": "a1b2c3d4e",
                     "content": "Result quartz seven."}
REASONED: Turn = {**ANSWER, "reasoning_content": "Thought pelican eight."}


@dataclass(frozen=True)
class Probe:
    """A template and the tokenizer that it is to be used with."""

    tokenizer: PreTrainedTokenizerBase
    template: str

    def render(self, turns: list[Turn], *, answer_next: bool = False,
               tools: list[dict[str, Any]] | None = None) -> str:
        """The text. Raises RowFault."""
        return render_turns(self.template, special_tokens_of(self.tokenizer), turns, tools=tools,
                            answer_next=answer_next)

    def tried(self, turns: list[Turn], *, answer_next: bool = False,
              tools: list[dict[str, Any]] | None = None) -> str | RowFault:
        """The text, or why there is none."""
        try:
            return self.render(turns, answer_next=answer_next, tools=tools)
        except RowFault as fault:
            return fault

    def ids(self, text: str) -> list[int]:
        """The tokens of a rendered text, the way it is taught."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))


@dataclass(frozen=True)
class Case:
    """What one check is given: `talk` is the longest conversation that the template takes, `text`
    its rendering, `extras` what the data has, where that is known."""

    probe: Probe
    data: Data
    extras: Collection[Extra] | None
    talk: list[Turn]
    text: str

    def level(self, extra: Extra, unknown: Level) -> Level | None:
        """How grave the loss of an extra is: not at all where the data has none of it."""
        if self.extras is None:
            return unknown
        return "problem" if extra in self.extras else None


Check = Callable[[Case], Finding | None]


def finding(key: str, level: Level, title: str, what: str, hint: str = "") -> Finding:
    """A finding about the template; it touches no single rows."""
    return Finding(f"template_{key}", level, title, what, hint, count=1)


def sentence(fault: RowFault) -> str:
    """What a template said, as the beginning of a text."""
    return fault.message[:1].upper() + fault.message[1:]
