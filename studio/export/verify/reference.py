"""The live model's side of a check: what it answers and expects, kept after it is unloaded.

Made once, it serves for every artifact of the same run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from studio.chat.prompt import Message
from studio.errors import ModelError
from studio.export.origin import Origin
from studio.export.output import end_if_stopped
from studio.export.verify.asked import Answer
from studio.export.verify.sample import (
    ANSWER_TOKENS_READ,
    ANSWERED,
    LONGER_TALK,
    Question,
    Sample,
    sample_for,
)
from studio.export.verify.transformers_side import TransformersSide
from studio.models.source import ModelFolder, find_model
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.settings import Settings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

ANSWER_TOKENS = 48
_KEPT_BYTES = 256 * 10**6
"""Of distributions: what a model with a vocabulary of 250,000 expects at 256 places."""


@dataclass(frozen=True)
class Reference:
    """`answers` are to the first questions of `sample`. `expected` has for each question the
    log-probabilities of the next token at each of its answer's tokens: (tokens, vocabulary).

    `rendered` are conversations with the tokens that they become; `end_token` ends an answer, None
    where there is no telling. `quantization` is how the live base was rounded, empty if it was not.
    """

    origin: Origin
    sample: Sample
    answers: tuple[Answer, ...]
    expected: tuple[torch.Tensor, ...]
    rendered: tuple[tuple[tuple[Message, ...], list[int]], ...]
    end_token: int | None
    quantization: str
    tokenizer: PreTrainedTokenizerBase


def live_reference(origin: Origin, settings: Settings, *, progress: Progress = silent,
                   stop: ShouldStop = never) -> Reference:
    """Load the adapter over its base as the chat does, ask it, and unload it.

    Raises ModelError where it cannot be loaded, and Stopped.
    """
    from studio.data.templates import end_ids_of

    with live_side(origin, settings, progress=progress, stop=stop) as live:
        live.end_at(end_ids_of(live.tokenizer, live.generation_config))
        sample = sample_for(origin, live.tokenizer, live.context_tokens, settings,
                            progress=progress, stop=stop)
        asked = [question.prompt_ids for question in sample.questions]
        needs_all = any(not question.answer_ids for question in sample.questions)
        answers = live.answers(asked if needs_all else asked[:ANSWERED], ANSWER_TOKENS,
                               progress=progress, stop=stop)
        sample = _within_memory(_with_own_answers(sample, answers, live.tokenizer),
                                len(live.tokenizer))
        return Reference(
            origin, sample, tuple(answers[:ANSWERED]), tuple(_expected(live, sample, progress,
                                                                       stop)),
            tuple(_rendered(live, sample)), _end_token(live.tokenizer, sample), live.precision,
            live.tokenizer)


def live_side(origin: Origin, settings: Settings, *, progress: Progress,
              stop: ShouldStop) -> TransformersSide:
    """The run's adapter over its base, or the model that it trained in full."""
    if origin.is_full_model:
        folder = ModelFolder(origin.path, origin.name, str(origin.path))
        return TransformersSide(origin.model, folder, progress=progress, stop=stop)
    return TransformersSide(origin.model, base_folder(origin, settings, progress, stop),
                            origin.path, progress=progress, stop=stop)


def base_folder(origin: Origin, settings: Settings, progress: Progress,
                stop: ShouldStop) -> ModelFolder:
    """The base that the adapter was trained on. Raises ModelError where it cannot be had."""
    return find_model(origin.model.source, settings, revision=origin.model.revision,
                      trust_remote_code=origin.model.trust_remote_code, progress=progress,
                      stop=stop)


def _with_own_answers(sample: Sample, answers: list[Answer],
                      tokenizer: PreTrainedTokenizerBase) -> Sample:
    """Where the data hold no answer, what the live model said is what both read."""
    questions = list(sample.questions)
    for number, answer in enumerate(answers):
        if not questions[number].answer_ids:
            ids = tokenizer.encode(answer.text, add_special_tokens=False)
            questions[number] = replace(questions[number],
                                        answer_ids=list(ids[:ANSWER_TOKENS_READ]))
    return replace(sample, questions=tuple(questions))


def _within_memory(sample: Sample, vocabulary: int) -> Sample:
    """Answers cut where all distributions would take too much."""
    places = max(1, _KEPT_BYTES // (4 * vocabulary * max(1, len(sample.questions))))
    return replace(sample, questions=tuple(
        replace(question, answer_ids=question.answer_ids[:places])
        for question in sample.questions))


def _expected(live: TransformersSide, sample: Sample, progress: Progress,
              stop: ShouldStop) -> Iterator[torch.Tensor]:
    for number, question in enumerate(sample.questions):
        end_if_stopped(stop)
        progress(Step("Reading with the live model", number, len(sample.questions), "texts"))
        yield live.reading(question.prompt_ids, question.answer_ids, stop).log_probabilities


def _rendered(live: TransformersSide, sample: Sample
              ) -> Iterator[tuple[tuple[Message, ...], list[int]]]:
    """What the live template takes: a talk with a system prompt, and the questions."""
    for turns in (LONGER_TALK, *(question.turns for question in sample.questions[:ANSWERED])):
        if not turns:
            continue
        try:
            yield turns, live.prompt_ids(list(turns))
        except ModelError:
            continue  # some templates take no system prompt: then none is compared


def _end_token(tokenizer: PreTrainedTokenizerBase, sample: Sample) -> int | None:
    """What the training taught to end an answer with: the template's own, else the tokenizer's."""
    from studio.data.templates.chosen import end_of_answer, own_template

    template = own_template(tokenizer)
    has_turns = any(question.turns for question in sample.questions)
    ending = end_of_answer(tokenizer, template) if template and has_turns else None
    return tokenizer.eos_token_id if ending is None else ending


def questions_with_answers(reference: Reference) -> list[tuple[Question, torch.Tensor]]:
    """Those that are read, each with what the live model expects."""
    return [(question, expected) for question, expected
            in zip(reference.sample.questions, reference.expected, strict=True)
            if question.answer_ids]
