"""What every batch of generated answers needs: left padding, the end of each row, readable text.

Chat and the rounds of answers during a training both use it. Which token comes next is decided by
the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from studio.progress import ShouldStop, never

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedTokenizerBase


def left_padded(rows: list[list[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask of shape (rows, longest), padded on the left."""
    import torch

    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, longest - len(row):] = torch.tensor(row)
        mask[number, longest - len(row):] = 1
    return ids, mask


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Any id will do, since padding is masked."""
    pad = tokenizer.pad_token_id
    if pad is None:
        pad = tokenizer.eos_token_id
    return 0 if pad is None else int(pad)


def context_limit(model: Any) -> int | None:
    """How many tokens `model` can read and write together; None where it does not say."""
    limit = getattr(model.config, "max_position_embeddings", None)
    return int(limit) if limit else None


def likeliest_tokens(most_tokens: int, pad_id: int) -> GenerationConfig:
    """Always the token with the highest score, up to `most_tokens` of them."""
    from transformers import GenerationConfig

    # Set in full, or generate() would take the model's own values, such as its penalty.
    return GenerationConfig(max_new_tokens=most_tokens, do_sample=False, num_beams=1,
                            use_cache=True, repetition_penalty=1.0, pad_token_id=pad_id)


def readable(tokenizer: PreTrainedTokenizerBase, token_ids: list[int]) -> str:
    """The text so far, without special tokens and without the first bytes of half a character."""
    text = tokenizer.decode(token_ids, skip_special_tokens=True,
                            clean_up_tokenization_spaces=False)
    return str(text).rstrip("\ufffd")


def rows_end(end_ids: list[frozenset[int]], should_stop: ShouldStop,
             are_over: Sequence[ShouldStop] | None = None) -> Any:
    """The stopping criterion of a batch whose row i ends at a token in `end_ids[i]`.

    Also ends where `are_over[i]()` says so, whatever its tokens are.
    """
    import torch
    from transformers import StoppingCriteria

    class RowsEnd(StoppingCriteria):
        """A row ends at one of its own end tokens; all end when somebody says stop."""

        eos_token_id = None
        """generate() looks for this attribute to fill ended rows with padding."""

        def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            stopped = should_stop()
            last = input_ids[:, -1].tolist()
            over = [is_over() for is_over in are_over or [never] * len(last)]
            return torch.tensor([stopped or row_over or token in ends for token, ends, row_over
                                 in zip(last, end_ids, over, strict=True)],
                                device=input_ids.device)

    return RowsEnd()
