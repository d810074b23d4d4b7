"""The model in training answers prompts, and the training does not notice.

Greedy, so that the same weights give the same answer. Nothing is learned, no random state moves,
and the model is in training mode again afterwards. Which prompts and what becomes of the answers
is decided by the observers of a run. Memory that runs out is torch's own error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from studio.data.templates import end_ids_of
from studio.models.generation import (
    context_limit,
    left_padded,
    likeliest_tokens,
    pad_id_of,
    readable,
    rows_end,
)
from studio.progress import Step
from studio.training.observer import Live
from studio.training.random_states import RandomStates
from studio.training.rows import measuring

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from studio.training.prompts import Prompt

_ROWS_AT_ONCE = 16
_TOKENS_AT_ONCE = 8192
"""Of prompts and answers in one batch: what they hold in memory stays small beside a step's."""


@dataclass(frozen=True)
class Answer:
    """`tokens` counts the end token out; `cut`: it was not over at the limit of tokens.

    `seconds` is the time of the whole batch that the answer was computed in.
    """

    text: str
    tokens: int
    seconds: float
    cut: bool


@contextmanager
def undisturbed(live: Live) -> Iterator[None]:
    """Inside the block `live.model` may be asked; everything is as before when it ends.

    Greedy answers draw no random numbers, but a model's own code may.
    """
    states = RandomStates.now()
    try:
        with measuring(live.model), arithmetic_of(live):
            yield
    finally:
        states.restore()


def answer_all(
    live: Live, prompts: list[Prompt], max_new_tokens: int, what: str
) -> list[Answer] | None:
    """The answers in order, or None where the person asked for a stop between two tokens.

    `what` is what the page says meanwhile.
    """
    progress = _Progress(live, what, len(prompts) * max_new_tokens)
    answers: list[Answer] = []
    with undisturbed(live):
        for batch in _batches(prompts, max_new_tokens):
            answers += _answer_batch(live, batch, max_new_tokens, progress)
            if live.stop():
                return None
    return answers


def answer_all_as_base(
    live: Live, prompts: list[Prompt], max_new_tokens: int, what: str
) -> list[Answer] | None:
    """As `answer_all`, by the model before its first step."""
    if live.untrained is None:
        return answer_all(live, prompts, max_new_tokens, what)
    answers = recalled_answers(live, prompts, max_new_tokens)
    if answers is None:
        with live.untrained.asked():
            answers = answer_all(live, prompts, max_new_tokens, what)
        if answers is not None:
            live.untrained.remember(_question(live, prompts, max_new_tokens),
                                    [asdict(answer) for answer in answers])
    return answers


def recalled_answers(
    live: Live, prompts: list[Prompt], max_new_tokens: int
) -> list[Answer] | None:
    """What the base answered to these very prompts in an earlier run, if it did."""
    if live.untrained is None:
        return None
    found = live.untrained.recall(_question(live, prompts, max_new_tokens))
    return None if found is None else [Answer(**answer) for answer in found]


def _question(live: Live, prompts: list[Prompt], max_new_tokens: int) -> dict[str, Any]:
    ends = end_ids_of(live.tokenizer, live.model.generation_config)
    return {"answers": [prompt.ids for prompt in prompts], "tokens": max_new_tokens,
            "ends": sorted(ends)}


def fitting(live: Live, prompts: list[Prompt]) -> list[Prompt]:
    """Those of `prompts` that leave room for an answer in what the model can read."""
    limit = context_tokens(live.model)
    return [prompt for prompt in prompts if limit is None or 0 < len(prompt.ids) < limit]


def arithmetic_of(live: Live) -> AbstractContextManager[Any]:
    """The number format in which the trainer computes, where that is not the weights' own."""
    import torch

    if live.precision.autocast is None:
        return nullcontext()
    return torch.autocast(live.device.kind, dtype=getattr(torch, live.precision.autocast))


@dataclass
class _Progress:
    live: Live
    what: str
    total: int
    done: int = 0

    def advance(self, tokens: int) -> None:
        self.done = min(self.done + tokens, self.total)
        self.live.progress(Step(self.what, self.done, self.total, "tokens"))


def _batches(prompts: list[Prompt], max_new_tokens: int) -> Iterator[list[Prompt]]:
    batch: list[Prompt] = []
    for prompt in prompts:
        longest = max(len(one.ids) for one in [*batch, prompt]) + max_new_tokens
        if batch and (len(batch) == _ROWS_AT_ONCE
                      or (len(batch) + 1) * longest > _TOKENS_AT_ONCE):
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch


def _answer_batch(
    live: Live, prompts: list[Prompt], max_new_tokens: int, progress: _Progress
) -> list[Answer]:
    began = time.monotonic()
    rows = [prompt.ids for prompt in prompts]
    limit = answer_limit(live.model, rows, max_new_tokens)
    ends = end_ids_of(live.tokenizer, live.model.generation_config)

    def each_token() -> bool:
        progress.advance(len(rows))
        return live.stop()

    found = _generate(live, rows, limit, ends, each_token)
    progress.advance((max_new_tokens - len(found[0])) * len(rows))
    seconds = time.monotonic() - began
    return [_answer(live, ids, ends, seconds) for ids in found]


def _answer(live: Live, ids: list[int], ends: frozenset[int], seconds: float) -> Answer:
    length = next((number for number, token in enumerate(ids) if token in ends), len(ids))
    return Answer(readable(live.tokenizer, ids[:length]), length, seconds, length == len(ids))


def _generate(
    live: Live, rows: list[list[int]], limit: int, ends: frozenset[int],
    each_token: Callable[[], bool],
) -> list[list[int]]:
    config = likeliest_tokens(limit, pad_id_of(live.tokenizer))
    return generated(live.model, rows, config, ends, each_token)


def generated(
    model: Any, rows: list[list[int]], config: GenerationConfig, ends: frozenset[int],
    each_token: Callable[[], bool],
) -> list[list[int]]:
    """New ids of each row: up to the limit of `config`, padding behind a row that has ended.

    All rows end where `each_token` says so, which is asked before each.
    """
    from transformers import StoppingCriteriaList

    ids, mask = left_padded(rows, int(config.pad_token_id))
    found = model.generate(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device),
        generation_config=config,
        stopping_criteria=StoppingCriteriaList([rows_end([ends] * len(rows), each_token)]),
    )
    new: list[list[int]] = found[:, ids.shape[1]:].tolist()
    return new


def answer_limit(model: Any, rows: list[list[int]], wanted: int) -> int:
    """`wanted` tokens of an answer, or fewer where the longest of `rows` leaves less room; at
    least one."""
    context = context_tokens(model)
    room = wanted if context is None else context - max(map(len, rows))
    return max(1, min(wanted, room))


def context_tokens(model: Any) -> int | None:
    """How much `model` can read and write together; None where it does not say.

    Learned tokens in front of the text take some of it.
    """
    limit = context_limit(model)
    adapter = getattr(model, "peft_config", {}).get("default")
    virtual = getattr(adapter, "num_virtual_tokens", None) or 0
    return None if limit is None else limit - virtual
