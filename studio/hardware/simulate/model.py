"""A model on the meta device as a training step finds it: formats, quantised layers, adapters.

transformers builds it and PEFT adapts it; only what needs real memory or a GPU is replaced.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.hardware.simulate import kernels
from studio.hardware.simulate.experts import fold_adapters, split_experts
from studio.hardware.simulate.fused import (
    fuse_query_key_value,
    use_fast_activations,
    use_fast_norms,
)
from studio.hardware.simulate.own_layers import use_own_layers
from studio.hardware.simulate.packed import Packing, is_packed, packed_linear
from studio.hardware.workload import Workload
from studio.models.shape import meta_model, shape_of_config

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PretrainedConfig

DROPOUT = 0.05
"""Where a workload only says that there is dropout; the rate changes no size."""


@dataclass(frozen=True)
class BuiltModel:
    """`model` is the causal language model with its adapters inside, `layers` its decoder's."""

    model: Any
    layers: Any
    base: tuple[Any, ...]
    trained: tuple[Any, ...]


def build(work: Workload, config: PretrainedConfig, layers: int | None,
          adapter: LoraConfig | None = None, *, reentrant: bool = False) -> BuiltModel:
    """The model of `config`, cut to `layers` where given, ready for a step of `work`.

    `adapter` is PEFT's own configuration; without it one is made of what `work` says.
    `reentrant`: how layers are computed again, as torch's checkpoint takes it.
    """
    import torch

    short = shortened(config, layers)
    short.dtype = torch.float32  # what it is built in; never torch's global default of another
    short._attn_implementation = _attention(work, short)
    kernels.register_attention()
    model = meta_model(short)
    short.pad_token_id = None  # transformers would look for it among the tokens
    short.dtype = _dtype(work.activation_bytes, work)
    if work.experts_as_linears:
        split_experts(model)
    if work.fast_norms:
        use_fast_norms(model)
    if work.fast_activation:
        use_fast_activations(model)
    if work.quantization != "none":
        _pack(model, work)
    _cast(model, work)
    if work.fused_qkv and not work.trains_base:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        fuse_query_key_value(model, work)
    elif not work.trains_base:
        _adapt(model, work, adapter)
    if work.fused_layers or work.fused_adapters:
        use_own_layers(model, work, shape_of_config(config))
    model.train()
    if work.checkpointing:
        _checkpoint(model, reentrant=reentrant)
    trained = tuple(p for p in model.parameters() if p.requires_grad)
    base = tuple(p for p in model.parameters() if work.trains_base or not p.requires_grad)
    return BuiltModel(model, decoder_layers(model, short), base, trained)


def shortened(config: PretrainedConfig, layers: int | None) -> PretrainedConfig:
    """A copy of `config` with its first `layers` layers; lists with an entry each are cut too."""
    short = copy.deepcopy(config)
    text = short.get_text_config()
    whole = text.num_hidden_layers
    if layers is None or layers == whole:
        return short
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == whole:
            setattr(text, name, value[:layers])
    text.num_hidden_layers = layers
    return short


def decoder_layers(model: Any, config: PretrainedConfig) -> Any:
    """The list of decoder layers: the first ModuleList as long as the model has layers."""
    from torch import nn

    count = config.get_text_config().num_hidden_layers
    return next(module for module in model.modules()
                if isinstance(module, nn.ModuleList) and len(module) == count)


def _attention(work: Workload, config: PretrainedConfig) -> str:
    """What transformers is told. Older architectures know only the names they were written with."""
    from transformers import AutoModelForCausalLM

    if work.attention == "eager":
        return "eager"
    architecture = AutoModelForCausalLM._model_mapping.get(type(config), None)
    has_sdpa = getattr(architecture, "_supports_sdpa", False)
    if not getattr(architecture, "_supports_attention_backend", False):
        return "sdpa" if has_sdpa else "eager"
    if work.attention == "flash_attention_2":
        return kernels.FLASH
    return kernels.SDPA if has_sdpa else "eager"


def _dtype(size: int, work: Workload) -> Any:
    import torch

    if size == 4:
        return torch.float32
    return torch.float16 if work.dtype == "float16" else torch.bfloat16


def _pack(model: Any, work: Workload) -> None:
    """Every linear layer but the head, as transformers' bitsandbytes integration chooses them."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    packing = Packing(8 if work.quantization == "8bit" else 4, work.double_quantization,
                      work.keeps_quantized_inputs)
    head = model.get_output_embeddings()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if child is head or not isinstance(child, (nn.Linear, Conv1D)):
                continue
            inputs, outputs = (child.weight.shape if isinstance(child, Conv1D)
                               else child.weight.shape[::-1])
            setattr(module, name, packed_linear(
                inputs, outputs, packing, has_bias=child.bias is not None,
                dtype=_dtype(work.activation_bytes, work)))


def _cast(model: Any, work: Workload) -> None:
    """Parameters in the formats that they are held in; tied ones stay tied."""
    from torch import nn

    common = _dtype(work.weight_bytes, work)
    norms = _dtype(work.norm_bytes or work.weight_bytes, work)
    outer = _dtype(work.unquantized_bytes or work.weight_bytes, work)
    head = model.get_output_embeddings()
    done: dict[int, Any] = {}
    for path, module in model.named_modules():
        is_norm = "norm" in path.rpartition(".")[2] or isinstance(module, nn.LayerNorm)
        is_outer = module is head or isinstance(module, nn.Embedding)
        dtype = norms if is_norm else outer if is_outer else common
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.is_floating_point():
                continue
            if id(parameter) not in done:
                trains = work.trains_base
                # Kept beside the old one, whose id must not be used again.
                done[id(parameter)] = (parameter, nn.Parameter(parameter.to(dtype), trains))
            setattr(module, name, done[id(parameter)][1])


def _adapt(model: Any, work: Workload, adapter: LoraConfig | None) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer

    config = adapter or LoraConfig(
        task_type="CAUSAL_LM", r=work.rank, target_modules=sorted(work.targets),
        lora_dropout=DROPOUT if work.dropout else 0.0, use_dora=work.dora)
    with torch.device("meta"):
        get_peft_model(model, config)
    fold_adapters(model)
    dtype = _dtype(work.trainable_bytes, work)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.requires_grad and parameter.dtype != dtype:
                setattr(module, name, torch.nn.Parameter(parameter.to(dtype)))
        if isinstance(module, LoraLayer) and is_packed(module.get_base_layer()):
            module.get_base_layer().clones = work.quantization == "4bit"
            # PEFT's layers for bitsandbytes leave casts to autocast where that is on.
            module.cast_input_dtype_enabled = not work.autocast


def _checkpoint(model: Any, *, reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    from studio.hardware.simulate.casting import casting_again

    def again(function: Any, *args: Any, **kwargs: Any) -> Any:
        first = True

        def layer(*inputs: Any) -> Any:
            nonlocal first
            with nullcontext() if first else casting_again():
                first = False
                return function(*inputs, **kwargs)

        # The state of random numbers belongs to whoever else computes in this process.
        return checkpoint(layer, *args, use_reentrant=reentrant, preserve_rng_state=False)

    model._set_gradient_checkpointing(enable=True, gradient_checkpointing_func=again)
    model.enable_input_require_grads()
