"""Which prompts the model in training answers: the person's own, and those of held-out records.

A prompt is made by the same encoder as the training's rows, so the model sees the tokens that it
was taught. Of a text without turns the first half is the prompt, of two answers the better one is
what is expected. Answers nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from studio.data.answer_spans import answers_of
from studio.data.checks.samples import sample_of
from studio.data.encode import Encoded, encode
from studio.data.samples import (
    Conversation,
    Judged,
    PlainText,
    Preference,
    PromptOnly,
    RowFault,
    Sample,
    Turn,
    shown_turns,
)
from studio.models.generation import readable

if TYPE_CHECKING:
    import numpy
    from transformers import PreTrainedTokenizerBase

    from studio.data.encoder import Encoder
    from studio.data.lab.whole import Whole

_LONGEST_OPENING_TOKENS = 48
"""Of a text without turns: enough to say what it is about."""
_ROWS_FOR_SYSTEM = 20
_ROWS_LOOKED_AT = 10
"""For each prompt that is wanted, where records repeat each other's prompts."""


@dataclass(frozen=True)
class Prompt:
    """`shown` is what a person reads; `ids` end where the answer begins.

    `expected` is the record's own answer as text, None for a prompt of the person's own;
    `expected_ids` are its tokens with the one that ends it. `turns` are the prompt's, where it is
    a conversation that a chat could have had: no plain text, no tools.
    """

    shown: str
    ids: list[int]
    expected: str | None = None
    expected_ids: tuple[int, ...] = ()
    turns: tuple[Turn, ...] = ()

    @property
    def expected_tokens(self) -> int:
        """How long the record's own answer is."""
        return len(self.expected_ids)


def own_prompts(
    texts: list[str], whole: Whole, tokenizer: PreTrainedTokenizerBase
) -> list[Prompt]:
    """The person's prompts, each once.

    A system turn that all records begin with goes before them, since the model learns to answer
    behind it. Where the data are texts without turns, they are continued.
    """
    encoder = _encoder(whole)
    texts = list(dict.fromkeys(text for text in texts if text.strip()))
    if all(detection.format == "text" for detection in whole.detections):
        return [Prompt(text, _opening(encoder, text, tokenizer)) for text in texts]
    system = common_system(whole)
    samples = [PromptOnly([*system, {"role": "user", "content": text}]) for text in texts]
    return [Prompt(text, found.ids.tolist())
            for text, found in zip(texts, encode(encoder, samples), strict=True)
            if isinstance(found, Encoded)]


def held_out_prompts(
    count: int, whole: Whole, tokenizer: PreTrainedTokenizerBase
) -> list[Prompt]:
    """The first `count` different prompts of the held-out part, each with its last answer."""
    return prompts_of(whole.split.held_out, count, whole, tokenizer)


def prompts_of(
    rows: numpy.ndarray, count: int, whole: Whole, tokenizer: PreTrainedTokenizerBase
) -> list[Prompt]:
    """The first `count` different prompts of the records `rows`, each with its last answer."""
    found: dict[tuple[str, str | None], Prompt] = {}
    looked_at = rows[:_ROWS_LOOKED_AT * count].tolist() if count else []
    for prompt in _prompts(looked_at, whole, tokenizer):
        found.setdefault((prompt.shown, prompt.expected), prompt)
        if len(found) == count:
            break
    return list(found.values())


def common_system(whole: Whole) -> list[Turn]:
    """The system turn that the first records for training all begin with; empty if they do not."""
    rows = whole.split.train[:_ROWS_FOR_SYSTEM].tolist()
    samples = [_conversation(sample_of(whole, int(row))) for row in rows]
    first = [sample.turns[0] if isinstance(sample, Conversation) else {} for sample in samples]
    is_same = bool(first) and first[0].get("role") == "system" and all(
        turn == first[0] for turn in first)
    return [first[0]] if is_same else []


def _conversation(sample: Sample | RowFault) -> Sample | RowFault:
    """A preference as the talk with its chosen answer, a judged answer as one if it is good."""
    match sample:
        case Preference(prompt, chosen, _, tools):
            return Conversation([*prompt, *chosen], tools)
        case Judged(prompt, completion, label, tools):
            return Conversation([*prompt, *(completion if label else [])], tools)
    return sample


def _encoder(whole: Whole) -> Encoder:
    """As the rows were encoded, but every answer is marked whatever the loss is on."""
    assert whole.encoder is not None
    return replace(whole.encoder, loss_on="responses")


def _opening(encoder: Encoder, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens of a text that goes on; some tokenizers write an end behind every text."""
    ids: list[int] = encoder.tokenizer.encode(text, add_special_tokens=True).ids
    return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids


def _prompts(
    rows: list[int], whole: Whole, tokenizer: PreTrainedTokenizerBase
) -> Iterator[Prompt]:
    encoder = _encoder(whole)
    for row in rows:
        sample = _conversation(sample_of(whole, int(row)))
        [encoded] = encode(encoder, [sample])
        if isinstance(encoded, Encoded):
            answer = _last_answer(sample, encoded, whole.data.max_length)  # type: ignore[arg-type]
            if answer is not None:
                number, start, end = answer
                ids = encoded.ids.tolist()
                shown = _shown(sample, number) or readable(tokenizer, ids[:start])
                expected = readable(tokenizer, ids[start:end]) if end > start else None
                yield Prompt(shown, ids[:start], expected, tuple(ids[start:end]),
                             _asked(sample, number))


def _last_answer(sample: Sample, encoded: Encoded, max_length: int) -> tuple[int, int, int] | None:
    """Number of the last answer that training sees the start of, and its first and end token."""
    if isinstance(sample, PlainText):
        tokens = min(len(encoded.ids), max_length)
        middle = min(tokens // 2, _LONGEST_OPENING_TOKENS)
        return (0, middle, tokens) if middle else None
    seen = [(number, start, end) for number, (start, end) in enumerate(encoded.loss)
            if 0 < start < max_length]
    return seen[-1] if seen else None


def _shown(sample: object, answer: int) -> str:
    """The turns before an answer as a person reads them; empty where it cannot be said."""
    return shown_turns(_turns_before(sample, answer))


def _asked(sample: object, answer: int) -> tuple[Turn, ...]:
    """The turns before an answer; none where a chat could not have had them."""
    turns = _turns_before(sample, answer)
    has_tools = getattr(sample, "tools", None) or any(
        turn["role"] == "tool" or turn.get("tool_calls") for turn in turns)
    return () if has_tools else tuple(turns)


def _turns_before(sample: object, answer: int) -> list[Turn]:
    if isinstance(sample, PromptOnly):
        return sample.prompt
    if not isinstance(sample, Conversation):
        return []
    answers = answers_of(sample.turns, "responses")
    return sample.turns[:answers[answer]] if answer < len(answers) else []
