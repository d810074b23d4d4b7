"""What a check asks of a model, whichever program runs it.

Raises nothing of its own; `transformers_side.py` and `llama_side.py` are the two that answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from studio.chat.prompt import Message
from studio.export.verify.compare import Full, Listed
from studio.progress import Progress, ShouldStop


@dataclass(frozen=True)
class Answer:
    """`ends`: the model ended it itself, before the most tokens allowed."""

    text: str
    ends: bool


class Asked(Protocol):
    """A model that is loaded. Every method may raise ModelError and, within seconds, Stopped."""

    @property
    def program(self) -> str:
        """What runs it, for a person."""

    @property
    def precision(self) -> str:
        """How its weights are rounded, such as "Q4_K_M"; empty where they are stored as floats."""

    def prompt_ids(self, turns: list[Message]) -> list[int]:
        """The tokens of a conversation by its own template, up to where the answer begins. Raises
        ModelError where it has none, or the template refuses."""

    def answers(self, prompts: list[list[int]], most_tokens: int, *, progress: Progress,
                stop: ShouldStop) -> list[Answer]:
        """Greedy answers, in order."""

    def reading(self, prompt_ids: list[int], answer_ids: list[int], stop: ShouldStop
                ) -> Full | Listed:
        """What it expects at each token of the answer, having read all before."""

    def ends_at(self, token_id: int) -> bool:
        """Whether its program ends an answer at that token, with what lies in the artifact."""
