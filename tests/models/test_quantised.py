"""Bases in 4 and 8 bits: the habits of bitsandbytes that loading puts right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.device import Device
from studio.models import load_base
from studio.models.folder import ModelFolder
from studio.models.quantized import computed_as_in_training, quantized_layers
from studio.recipe import Model

CPU = Device("cpu", "CPU", "float32", 8 * 10**9)


def _base(folder: Path, bits: str) -> Any:
    wanted = Model(source=str(folder), quantization=bits, dtype="float32")  # type: ignore[arg-type]
    return load_base(wanted, ModelFolder(folder, "tiny", str(folder)), CPU)


@pytest.mark.parametrize("bits", ["none", "4bit", "8bit"])
def test_every_linear_layer_but_the_head_is_quantised(tiny_model: Path, bits: str) -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(_base(tiny_model, bits), LoraConfig(target_modules="all-linear"))
    assert len(quantized_layers(model)) == (0 if bits == "none" else 2 * 7)


@pytest.mark.parametrize("is_training", [True, False])
def test_an_8_bit_product_lets_go_of_its_input(tiny_model: Path, is_training: bool) -> None:
    import weakref

    import torch

    layer = quantized_layers(_base(tiny_model, "8bit"))[0].train(is_training)
    start = torch.randn(1, 5, layer.in_features, requires_grad=True)
    x = start * 2
    gone = weakref.ref(x)
    out = layer(x)
    del x
    assert gone() is None
    out.sum().backward()
    weight = layer.state.CB.float() * layer.state.SCB[:, None] / 127
    assert start.grad is not None
    assert torch.allclose(start.grad, 2 * weight.sum(0).expand(1, 5, -1), atol=1e-4)


def test_the_scales_of_8_bit_weights_outlive_a_copy_of_the_weight(tiny_model: Path) -> None:
    import torch

    layer = quantized_layers(_base(tiny_model, "8bit"))[0].train()
    x = torch.randn(3, layer.in_features)
    before = layer(x)
    layer.weight = layer.weight.to("cpu")  # what DoRA does at every product
    assert torch.equal(layer(x), before)


def test_modes_are_as_before_after_a_measurement(tiny_model: Path) -> None:
    base = _base(tiny_model, "4bit")
    layers = quantized_layers(base)
    layers[0].train()
    with computed_as_in_training(base):
        assert all(layer.training for layer in layers) and not base.training
    assert [layer.training for layer in layers[:3]] == [True, False, False]
