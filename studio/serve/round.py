"""A round: rows of several requests computed together, each with its own weights and settings.

One call of Transformers' `generate` over PEFT's mixed-adapter batch. A round may end before its
rows do: whoever comes next reads again what the rows have so far.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from studio.chat.batch import Batch
from studio.models.generation import pad_id_of

if TYPE_CHECKING:
    import torch

    from studio.chat.reader import Reader
    from studio.chat.weights import Weights
    from studio.serve.row import Row

Interrupt = Callable[["Round"], bool]
"""Asked after every step whether the round shall end for others' sake."""


class Round:
    """`rows` are of models that can share a batch, or all of one model."""

    def __init__(self, rows: list[Row], interrupt: Interrupt) -> None:
        self.rows = rows
        self._interrupt = interrupt
        self._started = time.monotonic()
        self.reading_seconds = 0.0
        """Until the first token: what beginning anew costs."""
        self._logits: Any = None
        self._padding: list[int] = []

    @property
    def writing_seconds(self) -> float:
        """Since the first token."""
        return time.monotonic() - self._started - self.reading_seconds

    @property
    def rows_left(self) -> int:
        """Rows that still want tokens."""
        return sum(row.wants_tokens for row in self.rows)

    def run(self, weights: Weights, base: Reader) -> None:
        """Compute until every row is over, abandoned, or somebody else has a turn."""
        from transformers import LogitsProcessorList

        batch = Batch(weights, [(row.question.column.use, row.ids) for row in self.rows],
                      pad_id_of(base.tokenizer))
        self._padding = (batch.mask.shape[1] - batch.mask.sum(1)).tolist()
        batch.generate(max(row.tokens_left for row in self.rows),
                       LogitsProcessorList([self._weighing()]), self._ending())

    def _weighing(self) -> Any:
        from transformers import LogitsProcessor

        weigh = self._weigh

        class EachRowItsOwn(LogitsProcessor):
            """Every row's temperature, seed, and so on."""

            def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
                return weigh(input_ids, scores)

        return EachRowItsOwn()

    def _ending(self) -> Any:
        from transformers import StoppingCriteria

        after_step = self._after_step

        class RowsTakeTheirTokens(StoppingCriteria):
            """Hands every row its token; a row ends when it says so, all when others wait."""

            eos_token_id = None
            """generate() looks for this attribute to fill ended rows with padding."""

            def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
                import torch

                return torch.tensor(after_step(input_ids[:, -1].tolist()),
                                    device=input_ids.device)

        return RowsTakeTheirTokens()

    def _weigh(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(rows, length) ids with padding and (rows, vocabulary) logits to weighed scores."""
        import torch

        self._logits = scores
        return torch.cat([
            row.weigh(ids[number:number + 1, self._padding[number]:], scores[number:number + 1])
            if row.wants_tokens else scores[number:number + 1]
            for number, row in enumerate(self.rows)])

    def _after_step(self, token_ids: list[int]) -> list[bool]:
        if not self.reading_seconds:
            self.reading_seconds = time.monotonic() - self._started
        for number, (row, token_id) in enumerate(zip(self.rows, token_ids, strict=True)):
            if row.wants_tokens:
                wants = row.question.alternatives is not None
                row.take(token_id, self._logits[number] if wants else None)
        is_interrupted = self._interrupt(self)
        return [is_interrupted or not row.wants_tokens for row in self.rows]
