"""From a recipe's adapter part to PEFT's configuration object, checked against the model.

Knows PEFT's names for things. What an adapter sits on is decided in `targets.py`; starts that are
made from the base's weights, and what AdaLoRA is told of the run's length, are the training's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from studio.adapters.limits import checked_targets
from studio.adapters.ranks import Target, initial_rank
from studio.adapters.targets import ALL_LINEAR, layered_names, target_names
from studio.errors import ModelError
from studio.models.shape import ModelShape
from studio.recipe import Adapter

if TYPE_CHECKING:
    from peft import PeftConfig


def target_module_names(adapter: Adapter, shape: ModelShape) -> list[str] | str:
    """What PEFT is told to adapt: names, or its word "all-linear".

    Raises ModelError naming unknown targets and what the model has.
    """
    if adapter.targets != ALL_LINEAR:
        return target_names(adapter, shape)
    # With chosen layers PEFT takes no word, only names.
    return ALL_LINEAR if adapter.layer_numbers is None else layered_names(shape)


def peft_config(
    adapter: Adapter, shape: ModelShape, *, task_type: str = "CAUSAL_LM"
) -> PeftConfig:
    """PEFT's configuration for this adapter on this model. Raises ModelError if it cannot be.

    Starts as if there were no adapter, whatever `adapter.init` says but for "gaussian".
    """
    targets = checked_targets(adapter, shape)
    make = _MAKERS.get(adapter.method)
    if make is None:
        raise ModelError("adapter.method none has no adapter.", "Set adapter.method to lora.")
    config = make(adapter, shape, targets)
    config.task_type = task_type
    return config


def _inside(adapter: Adapter, shape: ModelShape) -> dict[str, Any]:
    """What every adapter on modules is told."""
    return {"target_modules": target_module_names(adapter, shape),
            "modules_to_save": list(adapter.modules_to_save) or None}


def _with_layers(adapter: Adapter, shape: ModelShape) -> dict[str, Any]:
    layers = adapter.layer_numbers
    only = f"{adapter.method}_only" if adapter.method in ("vera", "oft") else "lora_only"
    return _inside(adapter, shape) | {
        "layers_to_transform": None if layers is None else list(layers),
        "bias": only if adapter.bias == "lora_only" else adapter.bias}


def _transposed(targets: tuple[Target, ...]) -> bool:
    """GPT-2's Conv1D stores its weight as (inputs, outputs)."""
    return any(target.linear.kind == "conv1d" for target in targets)


def _lora(adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]) -> PeftConfig:
    from peft import LoraConfig

    return LoraConfig(
        r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout,
        use_rslora=adapter.use_rslora, use_dora=adapter.use_dora,
        init_lora_weights="gaussian" if adapter.init == "gaussian" else True,
        rank_pattern=dict(adapter.rank_pattern), alpha_pattern=dict(adapter.alpha_pattern),
        fan_in_fan_out=_transposed(targets), **_with_layers(adapter, shape))


def _adalora(adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]) -> PeftConfig:
    from peft import AdaLoraConfig

    # How long the run is shows only once its rows are counted: `training/adalora.py` sets it.
    return AdaLoraConfig(
        init_r=initial_rank(adapter), target_r=adapter.rank, lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout, total_step=1, fan_in_fan_out=_transposed(targets),
        **_with_layers(adapter, shape))


def _vera(adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]) -> PeftConfig:
    from peft import VeraConfig

    return VeraConfig(r=adapter.rank, vera_dropout=adapter.dropout,
                      fan_in_fan_out=_transposed(targets), **_with_layers(adapter, shape))


def _ia3(adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]) -> PeftConfig:
    from peft import IA3Config

    # Whole paths, since GPT-2 has a c_proj in attention too.
    last = [path for target in targets if target.scales_inputs for path in target.linear.modules]
    options = _inside(adapter, shape)
    if options["target_modules"] != ALL_LINEAR:
        # PEFT wants the feed-forward names among the targets.
        options["target_modules"] = [path for target in targets for path in target.linear.modules]
    return IA3Config(feedforward_modules=last, fan_in_fan_out=_transposed(targets), **options)


def _oft(adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]) -> PeftConfig:
    from peft import OFTConfig

    return OFTConfig(oft_block_size=adapter.block_size, module_dropout=adapter.dropout,
                     **_with_layers(adapter, shape))


def _prompt_tuning(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]
) -> PeftConfig:
    from peft import PromptTuningConfig

    return PromptTuningConfig(num_virtual_tokens=adapter.virtual_tokens,
                              prompt_tuning_init="SAMPLE_VOCAB")


def _prefix_tuning(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]
) -> PeftConfig:
    from peft import PrefixTuningConfig

    return PrefixTuningConfig(num_virtual_tokens=adapter.virtual_tokens)


_Maker = Callable[[Adapter, ModelShape, tuple[Target, ...]], "PeftConfig"]
_MAKERS: dict[str, _Maker] = {
    "lora": _lora, "adalora": _adalora, "vera": _vera, "ia3": _ia3, "oft": _oft,
    "prompt_tuning": _prompt_tuning, "prefix_tuning": _prefix_tuning,
}
