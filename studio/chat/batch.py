"""Rows of one batch, each with its own prompt and weights, through Transformers' `generate`.

How tokens are chosen, when a row ends, and where its tokens go is decided by who asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.allocator import give_freed_memory_back
from studio.models.generation import left_padded, likeliest_tokens

if TYPE_CHECKING:
    from transformers import LogitsProcessorList, StoppingCriteria

    from studio.chat.weights import AdapterUse, Weights


class Batch:
    """`rows` are an adapter, None for the base, and the token ids of a prompt. They must be able
    to share a batch, or be of one model. `mask` (rows, longest prompt) tells padding from prompt.
    """

    def __init__(self, weights: Weights, rows: list[tuple[AdapterUse | None, list[int]]],
                 pad_id: int) -> None:
        # First, since it puts the adapters of these rows on the model.
        self._which = weights.rows([use for use, _ in rows])
        self._model = weights.model
        self._pad_id = pad_id
        ids, mask = left_padded([prompt for _, prompt in rows], pad_id)
        self._ids, self.mask = ids.to(self._model.device), mask.to(self._model.device)

    def generate(self, most_tokens: int, processors: LogitsProcessorList, ending: StoppingCriteria,
                 streamer: Any = None) -> None:
        """Up to `most_tokens` for each row: the highest of the scores that `processors` make."""
        import torch
        from transformers import StoppingCriteriaList

        try:
            with torch.inference_mode():
                self._model.generate(
                    input_ids=self._ids, attention_mask=self.mask,
                    generation_config=likeliest_tokens(most_tokens, self._pad_id),
                    logits_processor=processors, stopping_criteria=StoppingCriteriaList([ending]),
                    streamer=streamer, **self._which,
                )
        finally:
            give_freed_memory_back()
