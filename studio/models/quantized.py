"""Bases in 8 or 4 bits (bitsandbytes): how they are asked for, and three of its habits put right.

The frozen weights stay as bitsandbytes packs them, and the rest of the base (embeddings, norms,
head) in the recipe's number format: PEFT's `prepare_model_for_kbit_training` would hold that in
32 bits, which costs memory and teaches nothing else, since norms are computed in 32 bits anyway.
What is trained is kept in 32 bits by the trainer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from studio import recipe
from studio.device import Device, resolve_dtype
from studio.errors import SetupError

if TYPE_CHECKING:
    import torch

_CLASSES = ("Linear4bit", "Linear8bitLt")


def mixes_rows(model: recipe.Model) -> bool:
    """Whether what one row of a batch says depends on the others: LLM.int8 computes an input apart
    from the 8 bits where any row is large there (arXiv:2208.07339, section 3.2)."""
    return model.quantization == "8bit"


def quantization_config(model: recipe.Model, device: Device) -> Any:
    """bitsandbytes settings: 4bit is NF4, usually with double quantization (QLoRA,
    arXiv:2305.14314); 8bit is LLM.int8 (arXiv:2208.07339).

    Raises SetupError where bitsandbytes is missing or does not serve this device.
    """
    from transformers import BitsAndBytesConfig
    from transformers.utils import is_bitsandbytes_available

    if device.kind == "mps":
        raise SetupError(
            f"model.quantization {model.quantization} does not work on an Apple GPU.",
            "Set model.quantization to none.",
        )
    if not is_bitsandbytes_available():
        raise SetupError(
            f"model.quantization {model.quantization} needs bitsandbytes, which is missing.",
            "Install bitsandbytes, or set model.quantization to none.",
        )
    if model.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=model.double_quantization,
        bnb_4bit_compute_dtype=resolve_dtype(model.dtype, device),
    )


def quantized_layers(model: torch.nn.Module) -> list[Any]:
    """The layers whose weights bitsandbytes holds, not PEFT's of the same name around them."""
    return [module for module in model.modules() if type(module).__name__ in _CLASSES
            and type(module).__module__.startswith("bitsandbytes")]


def mend_int8(model: torch.nn.Module) -> None:
    """Let 8-bit layers of `model` keep their scales and forget their inputs; changes no result.

    Scales: on a CPU PEFT's DoRA makes a new weight of the old one, with the scales lost, and the
    next product fails. Inputs: bitsandbytes holds on to the input of every product until the
    backward pass, which needs it for a trained weight only; gradient checkpointing cannot free it.
    """
    for layer in quantized_layers(model):
        if type(layer).__name__ == "Linear8bitLt":
            layer.register_forward_pre_hook(_keep_scales)
            layer.register_forward_hook(_forget_input)


@contextmanager
def computed_as_in_training(model: torch.nn.Module) -> Iterator[None]:
    """Inside the block quantised layers compute as in training, whatever mode `model` is in.

    On a CPU bitsandbytes computes otherwise in evaluation: 4-bit weights are repacked at the first
    product, for good, into a form that lets no gradient through; 8-bit layers round their inputs
    to 8 bits too, so that a loss would not be the one that is trained.
    """
    layers = quantized_layers(model)
    before = [layer.training for layer in layers]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer, was_training in zip(layers, before, strict=True):
            layer.training = was_training


def _keep_scales(layer: Any, inputs: Any) -> None:
    if layer.weight.CB is not None and layer.weight.SCB is None:
        layer.weight.SCB = layer.state.SCB


def _forget_input(layer: Any, inputs: Any, output: Any) -> None:
    node = output.grad_fn
    if node is None or layer.weight.requires_grad:
        return
    if hasattr(node, "A"):  # MatMul8bitFp, on a CPU
        node.A = None
    elif hasattr(node, "tensors"):  # MatMul8bitLt: input transposed, outliers, input
        node.tensors = (None, None, None)
