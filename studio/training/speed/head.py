"""The language model's head and its log probabilities, with the gradient made in the same pass.

The loss is a sum over tokens, so what a token's log probability asks of its hidden state,
W[target] - softmax(W h) W, is known as soon as its scores are: they are never computed a second
time (as in Liger's fused loss, arXiv:2410.10989). TRL's function computes them twice outside GPUs
and measures entropy and accuracy beside, which nobody is shown here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from studio.models.wrapped import without_wrapper

if TYPE_CHECKING:
    import torch

SCORES_AT_ONCE = 2 ** 23
"""Scores that are held at once: tokens times vocabulary, 4 bytes each."""
_SCALED = ("logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling",
           "final_logit_softcapping")
"""Settings of architectures whose scores are more than a product."""


def has_plain_head(model: Any) -> bool:
    """True if the scores of `model` are its hidden states times a weight that is not trained."""
    from torch import nn

    inner = without_wrapper(model)
    head, config = inner.get_output_embeddings(), inner.config.get_text_config()
    if type(head) is not nn.Linear or any(part.requires_grad for part in head.parameters()):
        return False
    if getattr(config, "output_router_logits", False):
        return False
    return all(getattr(config, name, None) in (None, 1, 1.0) for name in _SCALED)


def score_in_one_pass(model: Any) -> None:
    """From now on `model(..., shift_labels=..., fused_lm_head=True)` gives its log probabilities
    by this function, and zeros for entropy and accuracy.

    `model` went through TRL's `add_fused_lm_head` and has a plain head; every label counts.
    `setup.forward_kept` takes it off again.
    """
    inner = without_wrapper(model)
    whole = inner.forward

    @functools.wraps(whole)
    def forward(*arguments: Any, fused_lm_head: bool = False, shift_labels: Any = None,
                **options: Any) -> Any:
        if not fused_lm_head or shift_labels is None:
            extra = {} if shift_labels is None else {"shift_labels": shift_labels}
            return whole(*arguments, fused_lm_head=fused_lm_head, **extra, **options)
        return _output(inner, shift_labels, *arguments, **options)

    inner.forward = forward


def _output(inner: Any, targets: Any, *arguments: Any, labels: Any = None,
            num_items_in_batch: Any = None, **options: Any) -> Any:
    from trl.trainer.utils import FusedCausalLMOutput

    hidden = inner.base_model(*arguments, **options).last_hidden_state
    head = inner.get_output_embeddings()
    mask = targets != -100
    found = log_probabilities(hidden.reshape(-1, hidden.shape[-1]), head.weight, head.bias,
                              targets.clamp(min=0).reshape(-1))
    found = found.view(targets.shape).masked_fill(~mask, 0)
    nothing = found.detach().new_zeros(())
    return FusedCausalLMOutput(loss=-found.sum() / mask.sum().clamp(min=1), log_probs=found,
                               entropy=nothing, is_top1=nothing, label_mask=mask)


def log_probabilities(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
) -> torch.Tensor:
    """float32 log probability (tokens,) of each target; natural logarithm.

    hidden (tokens, width), weight (vocabulary, width), targets (tokens,).
    """
    found: torch.Tensor = _head_function().apply(hidden, weight, bias, targets)
    return found


@functools.cache
def _head_function() -> Any:
    import torch

    class Head(torch.autograd.Function):
        """Keeps the gradient of the hidden states instead of them."""

        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any) -> Any:
            wants = ctx.needs_input_grad[0]
            found = hidden.new_empty(len(hidden), dtype=torch.float32)
            of_hidden = torch.empty_like(hidden) if wants else None
            together = max(1, SCORES_AT_ONCE // len(weight))
            for start in range(0, len(hidden), together):
                part = slice(start, start + together)
                scores = torch.nn.functional.linear(hidden[part], weight, bias).float()
                found[part] = _to_shares(scores, targets[part])
                if of_hidden is not None:
                    of_hidden[part] = _pull(scores, targets[part], weight)
            if of_hidden is not None:
                ctx.save_for_backward(of_hidden)
            return found

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (of_hidden,) = ctx.saved_tensors
            return (of_hidden * gradient[:, None]).to(of_hidden.dtype), None, None, None

    return Head


def _to_shares(scores: Any, targets: Any) -> Any:
    """The targets' log probabilities; `scores` become the probabilities of all tokens."""
    scores.sub_(scores.amax(-1, keepdim=True))
    of_targets = scores.gather(1, targets[:, None])[:, 0]
    sums = scores.exp_().sum(-1, keepdim=True)
    scores.div_(sums)
    return of_targets - sums[:, 0].log()


def _pull(shares: Any, targets: Any, weight: Any) -> Any:
    """W[target] - p W."""
    return weight[targets] - shares.to(weight.dtype) @ weight
