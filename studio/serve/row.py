"""One answer on its way: its prompt, how its tokens are chosen, and its text as it may be told.

A row knows nothing of batches or of HTTP. It is filled on the thread that computes, and hands
`Piece`s to whoever asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from studio.chat.answer_text import AnswerText
from studio.chat.sampling import Sampling, logits_processors
from studio.serve.errors import ApiError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from studio.chat.session import Column

Finish = Literal["", "stop", "length"]
"""OpenAI's words: not yet; the model or a stop text ended it; no room for more."""


@dataclass(frozen=True)
class TokenChance:
    """A token of the answer and how likely it was to the model, in natural logarithms.

    `likeliest` are the tokens that the model held most likely there, of the same kind.
    """

    text: str
    log_probability: float
    likeliest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """What an answer grew by. The last one has a `finish` or an `error`."""

    text: str = ""
    chances: tuple[TokenChance, ...] = ()
    tokens: int = 0
    """Of the whole answer so far, the end token left out."""
    finish: Finish = ""
    error: ApiError | None = None

    @property
    def is_last(self) -> bool:
        """Whether nothing comes behind it."""
        return bool(self.finish) or self.error is not None


@dataclass(frozen=True)
class Question:
    """What a row has to answer. `alternatives` is None where no log-probabilities are wanted."""

    column: Column
    prompt_ids: list[int]
    sampling: Sampling
    alternatives: int | None
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int] = frozenset()
    is_alone: bool = False
    """Whether its adapter cannot be a row beside other models."""


class Row:
    """`deliver` is called on the computing thread and must return at once."""

    def __init__(self, question: Question, deliver: Callable[[Piece], None]) -> None:
        self.question = question
        self.token_ids: list[int] = []
        self.is_over = False
        self._deliver = deliver
        self._abandoned = threading.Event()
        self._text = AnswerText(question.tokenizer, question.sampling.stop_strings)
        self._chances: list[tuple[int, TokenChance]] = []
        """Of tokens not told yet: where their text begins in the answer."""
        self._processors: Any = None

    @property
    def ids(self) -> list[int]:
        """Everything that the model has to have read."""
        return self.question.prompt_ids + self.token_ids

    @property
    def tokens_left(self) -> int:
        """How many more it may get."""
        return self.question.sampling.max_new_tokens - len(self.token_ids)

    def abandon(self) -> None:
        """Nobody waits for the answer any more. May be called from any thread."""
        self._abandoned.set()

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for it."""
        return self._abandoned.is_set()

    @property
    def wants_tokens(self) -> bool:
        """Whether it is to be computed further."""
        return not (self.is_over or self.is_abandoned)

    def fail(self, error: ApiError) -> None:
        """The answer ends here, and the asker is told why."""
        self.is_over = True
        self._deliver(Piece(tokens=len(self.token_ids), error=error))

    def weigh(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores whose highest is the next token.

        `ids` (1, length) without padding, `scores` (1, vocabulary) the model's logits. The noise
        of a seed goes on where it was, whatever batches the row was part of.
        """
        import torch

        if self._processors is None:
            prompt = torch.ones((1, len(self.question.prompt_ids)), dtype=torch.long,
                                device=ids.device)
            self._processors = logits_processors(self.question.sampling, prompt)
        weighed: torch.Tensor = self._processors(ids, scores)
        return weighed

    def take(self, token_id: int, logits: torch.Tensor | None) -> None:
        """The next token; `logits` (vocabulary,) is what the model said, where it is wanted."""
        if token_id in self.question.end_ids:
            self._tell("stop")
            return
        if logits is not None:
            self._chances.append((self._text.seen, self._chance(token_id, logits)))
        self.token_ids.append(token_id)
        self._text.add(token_id)
        if self._text.is_stopped:
            self._tell("stop")
        elif self.tokens_left <= 0:
            self._tell("length")
        else:
            self._tell("")

    def _tell(self, finish: Finish) -> None:
        if finish:
            self.is_over = True
        text = self._text.grown(is_over=self.is_over)
        if finish and self._text.is_stopped:
            finish = "stop"
        told = [chance for start, chance in self._chances
                if start < self._text.told or (finish and not self._text.is_stopped)]
        del self._chances[:len(told)]
        if text or told or finish:
            self._deliver(Piece(text, tuple(told), len(self.token_ids), finish))

    def _chance(self, token_id: int, logits: torch.Tensor) -> TokenChance:
        import torch

        logs = torch.log_softmax(logits.float(), dim=-1)
        count = min(self.question.alternatives or 0, logs.shape[-1])
        best = logs.topk(count) if count else None
        likeliest = tuple((self._text.alone(int(one)), float(value)) for value, one in zip(
            best.values.tolist(), best.indices.tolist(), strict=True)) if best else ()
        return TokenChance(self._text.alone(token_id), float(logs[token_id]), likeliest)
