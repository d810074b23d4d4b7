"""From a recipe's adapter part to PEFT's configuration object, checked against the model.

Knows PEFT's names for things; what an adapter sits on is decided in `targets.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.adapters.targets import ALL_LINEAR, Target, saved_modules, target_names, targets_of
from studio.errors import ModelError
from studio.models.shape import ModelShape
from studio.recipe import Adapter

if TYPE_CHECKING:
    from peft import LoraConfig


def target_module_names(adapter: Adapter, shape: ModelShape) -> list[str] | str:
    """What PEFT is told to adapt: names, or its word "all-linear".

    Raises ModelError naming unknown targets and what the model has.
    """
    return ALL_LINEAR if adapter.targets == ALL_LINEAR else target_names(adapter, shape)


def checked_targets(adapter: Adapter, shape: ModelShape) -> tuple[Target, ...]:
    """What the adapter sits on. Raises ModelError unless it can sit on this model."""
    targets = targets_of(adapter, shape)
    saved_modules(adapter, shape)
    if any(target.linear.kind in ("experts", "router") for target in targets):
        switches = (("dropout", adapter.dropout > 0), ("use_dora", adapter.use_dora))
        on = [name for name, is_set in switches if is_set]
        if on:
            raise ModelError(
                f"adapter.{on[0]} does not work on the experts of {shape.name}.",
                f"Turn adapter.{on[0]} off, or set adapter.targets to attention.",
            )
    return targets


def peft_config(adapter: Adapter, shape: ModelShape) -> LoraConfig:
    """PEFT's configuration for this adapter on this model. Raises ModelError if it cannot be."""
    from peft import LoraConfig

    if adapter.method == "none":
        raise ModelError("adapter.method none has no adapter.", "Set adapter.method to lora.")
    targets = checked_targets(adapter, shape)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=target_module_names(adapter, shape),
        bias=adapter.bias,
        use_rslora=adapter.use_rslora,
        use_dora=adapter.use_dora,
        modules_to_save=list(adapter.modules_to_save) or None,
        # GPT-2's Conv1D stores its weight as (inputs, outputs).
        fan_in_fan_out=any(target.linear.kind == "conv1d" for target in targets),
    )
