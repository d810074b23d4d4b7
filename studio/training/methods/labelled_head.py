"""Log probabilities of answers without the vocabulary's scores of any other token.

TRL's fused head does so on GPUs with Triton; elsewhere it computes every position, prompts and
padding too, which costs more than the rest of a small model. This sits around it. Whoever uses it
does so inside `setup.forward_kept`, which takes it off again.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from studio.models.wrapped import without_wrapper
from studio.training.methods.supervised import labelled_positions, only_positions

if TYPE_CHECKING:
    import torch

_PER_TOKEN = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1", "label_mask")


def score_labelled_only(model: Any) -> None:
    """From now on `model(..., fused_lm_head=True)` computes the head where the next token has a
    label; everywhere else its outputs are zero. `model` went through TRL's `add_fused_lm_head`."""
    inner = without_wrapper(model)
    whole = inner.forward

    @functools.wraps(whole)
    def forward(*args: Any, labels: Any = None, fused_lm_head: bool = False, **kwargs: Any) -> Any:
        if not fused_lm_head or labels is None or labels.device.type == "cuda":
            extra = {} if labels is None else {"labels": labels}
            return whole(*args, fused_lm_head=fused_lm_head, **extra, **kwargs)
        kept, following = labelled_positions(labels)
        with only_positions(inner.base_model, kept):
            found = whole(*args, fused_lm_head=True, shift_labels=following, **kwargs)
        return _spread(found, kept[:, :-1])

    inner.forward = forward


def _spread(found: Any, kept: torch.Tensor) -> Any:
    """What was found for one row of positions, back at their places, (rows, tokens - 1)."""
    for name in _PER_TOKEN:
        value = getattr(found, name)
        if value is not None:
            setattr(found, name, value.new_zeros(kept.shape).masked_scatter(kept, value[0]))
    return found
