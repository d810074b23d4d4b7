"""What a configuration says of a layer's inside that no size tells: activation, dropout, caps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_ACTIVATION = ("hidden_act", "activation_function", "hidden_activation", "activation")
_HIDDEN_DROPOUT = ("resid_pdrop", "hidden_dropout", "dropout", "residual_dropout")
_ATTENTION_DROPOUT = ("attn_pdrop", "attention_dropout")
_LOGIT_FACTORS = ("logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling",
                  "final_logit_softcapping")


@dataclass(frozen=True)
class Traits:
    """`activation` by transformers' name. A dropout is on or off; a softcap squeezes attention
    scores or logits through tanh (Gemma 2). Without `has_sdpa` the architecture computes attention
    step by step unless flash attention is asked for. `scales_logits`: scores are more than the
    head's product, by a factor or a softcap."""

    activation: str = ""
    hidden_dropout: bool = False
    attention_dropout: bool = False
    attention_softcap: bool = False
    has_sdpa: bool = True
    logit_softcap: bool = False
    scales_logits: bool = False


def traits_of(config: Any, *, has_sdpa: bool = True) -> Traits:
    """The traits of a transformers text configuration; `has_sdpa` is told by the model's class."""
    return Traits(
        activation=str(_first(config, _ACTIVATION) or ""),
        hidden_dropout=bool(_first(config, _HIDDEN_DROPOUT)),
        attention_dropout=bool(_first(config, _ATTENTION_DROPOUT)),
        attention_softcap=bool(getattr(config, "attn_logit_softcapping", None)),
        has_sdpa=has_sdpa,
        logit_softcap=bool(getattr(config, "final_logit_softcapping", None)),
        scales_logits=any(getattr(config, name, None) not in (None, 1, 1.0)
                          for name in _LOGIT_FACTORS),
    )


def _first(config: Any, names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := getattr(config, name, None))), None)
