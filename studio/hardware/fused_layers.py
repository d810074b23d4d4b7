"""Which layers of a step are computed in one go, and so keep less for their backward pass.

A plain adapter together with its linear layer, a gate (SwiGLU) and an RMSNorm, where a workload
says that training fuses them. Training tries its modules; here names and the activation tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.hardware.workload import Workload
    from studio.models.shape import LinearShape, ModelShape
    from studio.recipe import Recipe

_ADDS_ONE = frozenset({"gemma", "gemma2", "gemma3", "recurrent_gemma", "vaultgemma", "qwen3_next",
                       "qwen3_5", "qwen3_5_moe"})
"""Norms that multiply by one more than their weight: another arithmetic than the fused one."""
_GATED = frozenset({"gate_proj", "up_proj", "down_proj"})
_SILU = ("silu", "swish")
_READ_NORMED = ("q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "gate_proj", "up_proj",
                "gate_up_proj")
_NORM_BEFORE = "input_layernorm"
"""Its name where a layer's norms stand before its blocks."""


def wants_fused_layers(recipe: Recipe, device_kind: str, *, autocast: bool) -> bool:
    """Whether anything is to be fused, as training chooses it."""
    wanted = recipe.speed.fused_layers
    if wanted is False or autocast:
        return False
    return device_kind == "cpu" or wanted is True


def has_plain_adapter(recipe: Recipe) -> bool:
    """Whether the adapter's arithmetic is LoRA's own and nothing beside it."""
    adapter = recipe.adapter
    return (adapter.method == "lora" and not adapter.use_dora and not adapter.dropout
            and adapter.bias == "none" and recipe.model.quantization == "none")


def adapter_is_fused(work: Workload, linear: LinearShape) -> bool:
    """Whether this layer keeps its input as it came, and the adapter's low product in its format.
    """
    return work.fused_adapters and linear.kind == "linear"


def adapters_are_fused(work: Workload, shape: ModelShape) -> bool:
    """Whether that holds for the adapted layers of this model."""
    return any(adapter_is_fused(work, linear) for linear in shape.linears
               if linear.name in work.targets)


def norms_are_fused(work: Workload, shape: ModelShape) -> bool:
    """Whether RMS norms keep their input as it came and a number for each row."""
    if not work.fused_layers or work.trains_base:
        return False
    # A LayerNorm has a bias.
    has_bias = any(count == 2 * shape.hidden for count in shape.norms.values())
    return not has_bias and shape.model_type.removesuffix("_text") not in _ADDS_ONE


def gate_is_fused(work: Workload, shape: ModelShape) -> bool:
    """Whether a gated block keeps only what goes into its gate."""
    names = {linear.name for linear in shape.linears}
    return (work.fused_layers and work.quantization == "none" and names >= _GATED
            and shape.traits.activation in _SILU)


def input_is_made_again(work: Workload, shape: ModelShape, linear: LinearShape) -> bool:
    """Whether a fused layer's input comes from a fused norm or gate, and is not kept."""
    if not adapter_is_fused(work, linear):
        return False
    if linear.name == "down_proj":
        return gate_is_fused(work, shape)
    has_norm = any(path.endswith(_NORM_BEFORE) for path in shape.norms)
    return linear.name in _READ_NORMED and has_norm and norms_are_fused(work, shape)
