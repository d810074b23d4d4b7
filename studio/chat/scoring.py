"""How likely an answer was to the model that gave it, and how far that model is from its base.

One pass over prompt and answer for each column, all columns as rows of one batch where they can
be, and another of the base over the same tokens. Everything is of the model's own distribution:
temperature and the other settings of sampling do not count. Nothing is generated here.
"""

from __future__ import annotations

import inspect
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.device import Device
from studio.models.token_text import TokenText

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from studio.chat.weights import AdapterUse, Weights

_PIECE_BYTES = 512 * 10**6
"""What the distributions of both models over the tokens read at a time may take."""
_COPIES = 6
"""Distributions in float32 that are alive at once."""


@dataclass(frozen=True)
class Row:
    """A column's prompt and its answer as token ids; `use` None is the base."""

    column: str
    use: AdapterUse | None
    tokenizer: PreTrainedTokenizerBase
    prompt_ids: list[int]
    answer_ids: list[int]


@dataclass(frozen=True)
class AnswerScore:
    """One answer, a value for each of its tokens; the end token is none of them.

    `texts` joined are the answer. `log_probabilities` are natural logarithms. `kl_to_base` is
    KL(column || base) of the distribution that the token was taken from, in nats (Kullback &
    Leibler 1951): 0 where the adapter changes nothing.
    """

    texts: list[str]
    log_probabilities: list[float]
    kl_to_base: list[float]

    @property
    def mean_log_probability(self) -> float | None:
        """Per token, in nats; None for an empty answer."""
        return _mean(self.log_probabilities)

    @property
    def perplexity(self) -> float | None:
        """exp(-mean log-probability): 1 where the model was sure of every token."""
        mean = self.mean_log_probability
        return None if mean is None else math.exp(-mean)

    @property
    def mean_kl_to_base(self) -> float | None:
        """Per token, in nats; None for an empty answer."""
        return _mean(self.kl_to_base)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def score_rows(weights: Weights, rows: list[Row], device: Device) -> dict[str, AnswerScore]:
    """The scores of answers by column. The rows must be able to share a batch, or be one."""
    import torch

    asked = [row for row in rows if row.answer_ids]
    scores = {row.column: AnswerScore([], [], []) for row in rows}
    if not asked:
        return scores
    with torch.inference_mode():
        likely, moved = _measured(weights, asked, device)
    start = min(len(row.prompt_ids) for row in asked)
    for row, row_likely, row_moved in zip(asked, likely.tolist(), moved.tolist(), strict=True):
        first = len(row.prompt_ids) - start
        part = slice(first, first + len(row.answer_ids))
        scores[row.column] = AnswerScore(
            _texts(row.tokenizer, row.answer_ids), row_likely[part], row_moved[part])
    return scores


def _texts(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    text = TokenText(tokenizer)
    texts = [text.add(token_id) for token_id in ids]
    texts[-1] += text.rest()
    return texts


def _measured(weights: Weights, rows: list[Row], device: Device
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of, and KL to the base at, every token from the first answer's start on:
    both of shape (rows, tokens), on the CPU."""
    import torch

    ids, mask = _right_padded([[*row.prompt_ids, *row.answer_ids] for row in rows])
    ids, mask = ids.to(device.torch_name), mask.to(device.torch_name)
    first = min(len(row.prompt_ids) for row in rows) - 1
    last = ids.shape[1] - 1  # the last token predicts nothing that is asked
    column, base, adapted = _both(weights, rows, ids, mask)
    size = _tokens_at_a_time(weights, rows) or last
    likely, moved = [], []
    for start in range(first, last, size):
        end = min(start + size, last)
        log_p = column.log_probabilities(start, end, is_last=end == last)
        likely.append(log_p.gather(2, ids[:, start + 1:end + 1, None])[..., 0].cpu())
        difference = torch.zeros(len(rows), end - start, dtype=torch.float32)
        if base is not None:
            log_q = base.log_probabilities(start, end, is_last=end == last)
            difference[adapted] = kl_divergence(log_p[adapted], log_q).cpu()
        moved.append(difference)
    return torch.cat(likely, 1), torch.cat(moved, 1)


def _tokens_at_a_time(weights: Weights, rows: list[Row]) -> int | None:
    """How much of the answers is read in one piece; None for everything.

    Learned tokens in front of the text come anew with every piece, so there must be one only.
    """
    if any(weights.virtual_tokens(row.use) for row in rows):
        return None
    vocabulary = int(weights.model.config.get_text_config().vocab_size)
    return max(1, _PIECE_BYTES // (_COPIES * 4 * len(rows) * vocabulary))


def _both(weights: Weights, rows: list[Row], ids: torch.Tensor, mask: torch.Tensor
          ) -> tuple[_Reading, _Reading | None, list[int]]:
    """The columns' models and the base's over the rows with an adapter, and which those are."""
    adapted = [number for number, row in enumerate(rows) if row.use is not None]
    which = weights.rows([row.use for row in rows])
    column = _Reading(weights.model, which, ids, mask)
    if not adapted:
        return column, None, adapted
    base_ids, base_mask = ids[adapted], mask[adapted]
    if which:
        names = weights.rows([None] * len(adapted))
        return column, _Reading(weights.model, names, base_ids, base_mask), adapted
    return column, _Reading(weights.model, {}, base_ids, base_mask, is_bare=True), adapted


class _Reading:
    """One model on its way through the rows, which it reads piece by piece, in order."""

    def __init__(self, model: Any, which: dict[str, Any], ids: torch.Tensor, mask: torch.Tensor, *,
                 is_bare: bool = False) -> None:
        self._model = model
        self._which = which
        self._ids = ids
        self._mask = mask
        self._is_bare = is_bare
        self._read = 0
        self._cache: Any = None
        self._can_keep = "logits_to_keep" in inspect.signature(_base_of(model).forward).parameters

    def log_probabilities(self, start: int, end: int, *, is_last: bool) -> torch.Tensor:
        """Read up to token `end`; gives (rows, end - start, vocabulary) of what comes after each
        token from `start` on, in float32."""
        import torch

        kept = end - start
        options = {"logits_to_keep": kept} if self._can_keep else {}
        is_whole = is_last and self._cache is None  # read at once, it needs no memory of itself
        with self._adapters_off():
            output = self._model(
                input_ids=self._ids[:, self._read:end], attention_mask=self._mask[:, :end],
                past_key_values=self._cache, use_cache=not is_whole, **options, **self._which)
        self._read, self._cache = end, None if is_last else output.past_key_values
        return torch.log_softmax(output.logits[:, -kept:].float(), dim=-1)

    def _adapters_off(self) -> AbstractContextManager[None]:
        if not self._is_bare:
            return nullcontext()
        off: AbstractContextManager[None] = self._model.disable_adapter()
        return off


def _base_of(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def kl_divergence(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Sum of p (log p - log q) over the last axis; a token that p rules out adds nothing."""
    import torch

    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), torch.zeros_like(p)).sum(-1).clamp(min=0)


def _right_padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask. On the right, since no token sees what stands behind it: positions
    are those of the row alone."""
    import torch

    longest = max(map(len, rows))
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, :len(row)] = torch.tensor(row)
        mask[number, :len(row)] = 1
    return ids, mask
