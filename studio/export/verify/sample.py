"""What both models are asked: held-out records of the run's own data, else built-in prompts.

Only chooses and encodes; the same records every time, so that two checks can be compared. The
prompts are encoded as the training did it. Answers nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from studio.chat.prompt import Message, prompt_ids
from studio.errors import DataError, ModelError
from studio.export.origin import Origin
from studio.progress import Progress, ShouldStop, Step
from studio.recipe import Recipe
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.data.lab.whole import Whole
    from studio.training.prompts import Prompt

QUESTIONS = 12
ANSWERED = 6
"""Of the questions, those that are answered as well; reading is quicker than writing."""
ANSWER_TOKENS_READ = 24
_PROMPT_TOKENS_READ = 6000
"""Of all questions together: a minute of reading for a small model on a PC without a GPU."""
_LONGEST_PROMPT_TOKENS = 2000
"""Leaves room for the answer in what llama.cpp is given memory for."""
BUILT_IN: tuple[tuple[Message, ...], ...] = tuple(
    ({"role": "user", "content": text},) for text in (
        "What is the capital of France, and which river flows through it?",
        "Write one sentence about a cat that is afraid of mice.",
        "List three things that are needed to bake bread.",
        "What is 17 plus 25? Explain each step.",
        "Translate into German: The train leaves at nine o'clock.",
        "Write a Python function that returns the largest number of a list.",
        "Summarise in one sentence: It rained for three days, so the river rose, and the fields "
        "beside it stood under water.",
        "Give the name and the day as JSON: Anna comes on Friday.",
    ))
LONGER_TALK: tuple[Message, ...] = (
    {"role": "system", "content": "You answer in one word."},
    {"role": "user", "content": "What colour is the sky?"},
    {"role": "assistant", "content": "Blue."},
    {"role": "user", "content": "And grass?"},
)
"""Only for the comparison of templates: a system prompt, and an answer in the middle."""


@dataclass(frozen=True)
class Question:
    """`prompt_ids` end where the answer begins, `answer_ids` are what stands there in the data;
    empty where the live model's own answer is to be taken. `turns` are empty for plain text."""

    shown: str
    turns: tuple[Message, ...]
    prompt_ids: list[int]
    answer_ids: list[int]


@dataclass(frozen=True)
class Sample:
    """`said` tells a person what is asked; `is_own_data` that it is of the person's data."""

    said: str
    questions: tuple[Question, ...]
    is_own_data: bool = False


def sample_for(
    origin: Origin, tokenizer: PreTrainedTokenizerBase, context_tokens: int | None,
    settings: Settings, *, progress: Progress, stop: ShouldStop,
) -> Sample:
    """Questions that leave room for an answer in `context_tokens`, by the tokenizer of the run.

    Where the run's data are gone or hold no answer the built-in prompts take their place, which is
    said. Raises Stopped.
    """
    recipe = origin.run.readable_recipe if origin.run is not None else None
    why = "the adapter lies in no run of the studio"
    if recipe is not None:
        try:
            return _of_data(recipe, tokenizer, context_tokens, settings, progress, stop)
        except DataError as error:
            why = f"the data of the run cannot be used: {error.message.rstrip('.')}"
    questions = _fitting(_built_in(tokenizer), context_tokens)
    return Sample(f"{len(questions)} built-in prompts, and what the live model itself answers to "
                  f"them, since {why}.", tuple(questions))


def _of_data(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, context_tokens: int | None,
    settings: Settings, progress: Progress, stop: ShouldStop,
) -> Sample:
    from studio.data.lab.look import open_whole

    progress(Step("Reading the held-out part of the data"))
    whole = open_whole(recipe.taught_data, settings, tokenizer, progress=progress, stop=stop)
    if whole.encoder is None:
        raise whole.template_error or DataError("no record can be read.")
    asked, part = _prompts(whole, tokenizer)
    questions = _fitting((Question(
        prompt.shown, tuple({"role": turn["role"], "content": turn["content"]}
                            for turn in prompt.turns),
        prompt.ids, list(prompt.expected_ids)) for prompt in asked), context_tokens)
    if not questions:
        raise DataError("no record is short enough to be read quickly.")
    records = "1 record" if len(questions) == 1 else f"{len(questions)} records"
    return Sample(f"{records} of {part}.", tuple(questions),
                  is_own_data=True)


def _prompts(whole: Whole, tokenizer: PreTrainedTokenizerBase) -> tuple[list[Prompt], str]:
    """More than are wanted, since long ones are left out."""
    from studio.training.prompts import prompts_of

    parts = whole.split
    if len(parts.held_out):
        return (prompts_of(parts.held_out, 2 * QUESTIONS, whole, tokenizer),
                "the run's data that were held out from training")
    return (prompts_of(parts.train, 2 * QUESTIONS, whole, tokenizer),
            "the run's training data (nothing was held out)")


def _built_in(tokenizer: PreTrainedTokenizerBase) -> Iterable[Question]:
    """As a chat would ask them; as plain text of a model whose template refuses a question."""
    for turns in BUILT_IN:
        text = turns[0]["content"]
        try:
            yield Question(text, turns, prompt_ids(list(turns), tokenizer, "the live model"), [])
        except ModelError:
            yield Question(text, (), list(tokenizer.encode(text)), [])


def _fitting(found: Iterable[Question], context_tokens: int | None) -> list[Question]:
    """The first that fit, their answers cut to what is read of each."""
    room = _PROMPT_TOKENS_READ
    chosen: list[Question] = []
    for question in found:
        length = len(question.prompt_ids)
        fits = context_tokens is None or length + ANSWER_TOKENS_READ < context_tokens
        if not 0 < length <= min(room, _LONGEST_PROMPT_TOKENS) or not fits:
            continue
        room -= length
        chosen.append(replace(question, answer_ids=question.answer_ids[:ANSWER_TOKENS_READ]))
        if len(chosen) == QUESTIONS:
            break
    return chosen
