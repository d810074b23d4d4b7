"""What the training methods are called and what each is for. Words only, written once.

Which formats of data a method can learn from is in `studio/data/columns.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from studio.recipe.training import Method


@dataclass(frozen=True)
class MethodWords:
    """`label` names it, `short` names it in a table, `summary` says what it does, `examples` what
    a step counts, `example` one of them.

    `memory`: what a step computes beside the usual, in a sentence.
    `has_perplexity`: its loss is of single tokens, so that exp(loss) means something.
    `is_rewarded`: its loss means little, and its held-out loss is minus the mean reward.
    """

    label: str
    short: str
    summary: str
    examples: str = "examples"
    example: str = "example"
    memory: str = ""
    has_perplexity: bool = False
    is_rewarded: bool = False

    def counted(self, count: int) -> str:
        """So many of what a step counts: "4 examples", "1 pair of answers"."""
        return f"{count:,} {self.example if count == 1 else self.examples}"


_TWO = "Each example is two answers, computed together."
_WRITES = ("Answers are written first, which keeps what was read and needs no gradients; then they "
           "are learned from. A batch counts answers.")
METHODS: Mapping[Method, MethodWords] = {
    "sft": MethodWords(
        "Answers (SFT)", "SFT", "Imitates given answers. Where nearly everybody begins.",
        has_perplexity=True),
    "pretrain": MethodWords(
        "Plain text (pretrain)", "pretrain",
        "Goes on reading: language, style, the words of a field.", "rows of text",
        "row of text",
        has_perplexity=True),
    "dpo": MethodWords(
        "Preferences (DPO)", "DPO",
        "Prefers one answer to another and stays near where it began.", "pairs of answers",
        "pair of answers",
        f"{_TWO} Then the model as it was reads them once more, without gradients."),
    "orpo": MethodWords(
        "Preferences (ORPO)", "ORPO",
        "Imitates the better answer and moves off the other, in one go.", "pairs of answers",
        "pair of answers", _TWO),
    "kto": MethodWords(
        "Good or bad (KTO)", "KTO", "Learns from single answers, with no pairs.",
        "judged answers", "judged answer",
        "The model as it was reads every answer once more, without gradients."),
    "reward": MethodWords(
        "Reward model", "reward",
        "Becomes a judge that gives answers points, for grpo and rloo. Writes nothing.",
        "pairs of answers", "pair of answers",
        f"{_TWO} There are no word scores, since it writes nothing."),
    "grpo": MethodWords(
        "Rewarded answers (GRPO)", "GRPO",
        "Answers by itself, several times; what is rewarded grows.", "answers of its own",
        "answer of its own", _WRITES, is_rewarded=True),
    "rloo": MethodWords(
        "Rewarded answers (RLOO)", "RLOO",
        "The same, simpler: each answer against the mean of the others.", "answers of its own",
        "answer of its own", _WRITES, is_rewarded=True),
}


def method_words(name: str) -> MethodWords:
    """The words of a training method. KeyError for one that there is not."""
    return METHODS[name]  # type: ignore[index]


assert set(METHODS) == set(get_args(Method)), "every training method has its words"
