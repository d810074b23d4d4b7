"""When Liger's kernels are taken, and that they leave nothing behind.

There is no GPU here, so the package is a hand-made one that puts on what liger-kernel 0.8 does.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from studio.device import Device
from studio.hardware.precision import Precision, choose_precision
from studio.recipe import Recipe
from studio.training.choices import choose_liger
from studio.training.setup import forward_kept
from studio.training.speed.liger import put_liger_on, suits_liger

_CPU = Device("cpu", "CPU", "float32", 16 * 10**9)
_GPU = Device("cuda", "a card", "bfloat16", 24 * 10**9)


def _chosen(device: Device, *, suits: bool = True, installed: bool = True,
            **values: Any) -> tuple[bool, list[str]]:
    recipe = Recipe().with_values({key.replace("__", "."): value for key, value in values.items()})
    precision: Precision = choose_precision(recipe, device)
    return choose_liger(recipe, device, precision, suits=suits, installed=installed)


def test_on_a_gpu_with_the_package_norms_and_gates_are_liger_s() -> None:
    for fused_layers in ("auto", True):
        taken, said = _chosen(_GPU, speed__fused_layers=fused_layers)
        assert taken and said == ["Norms and gated layers are computed by Liger's kernels."]


def test_elsewhere_they_are_not_and_only_a_gpu_hears_of_it(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _chosen(_CPU) == (False, [])
    assert _chosen(_GPU, speed__fused_layers=False) == (False, [])
    assert "do not have this model's layers" in _chosen(_GPU, suits=False)[1][0]
    monkeypatch.setattr("sys.platform", "win32")
    assert _chosen(_GPU, installed=False) == (False, [])
    monkeypatch.setattr("sys.platform", "linux")
    taken, said = _chosen(_GPU, installed=False)
    assert not taken and "liger-kernel" in said[0] and "pip install" in said[0]


def test_only_architectures_that_liger_computes_the_same_way_suit() -> None:
    def suits(kind: str, activation: str) -> bool:
        return suits_liger(types.SimpleNamespace(model_type=kind, hidden_act=activation))

    assert suits("llama", "silu") and suits("qwen3", "silu")
    assert not suits("llama", "gelu") and not suits("gemma3_text", "silu")


@pytest.fixture
def hand_made_liger(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the package was asked for."""
    asked: list[dict[str, Any]] = []

    def apply(model: Any, **options: Any) -> None:
        from transformers.models.llama import modeling_llama

        asked.append(options)
        modeling_llama.LlamaRMSNorm = modeling_llama.LlamaMLP = object
        for layer in model.model.layers:
            for module in (layer.mlp, layer.input_layernorm):
                vars(module).update(forward=lambda x: x, _get_name=lambda: "Liger", offset=0.0,
                                    casting_mode="llama", in_place=True, row_mode=None,
                                    impl=None, mode=None)

    package = types.ModuleType("liger_kernel")
    inner = types.ModuleType("liger_kernel.transformers")
    inner._apply_liger_kernel_to_instance = apply  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "liger_kernel", package)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", inner)
    monkeypatch.setattr("transformers.integrations.liger.is_liger_kernel_available", lambda: True)
    return asked


@pytest.mark.parametrize("adapted", [True, False])
def test_it_is_put_on_one_model_alone_and_taken_off_after_the_run(
    tiny_model: Path, hand_made_liger: list[dict[str, Any]], adapted: bool
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from transformers.models.llama import modeling_llama

    classes = modeling_llama.LlamaRMSNorm, modeling_llama.LlamaMLP
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    model = get_peft_model(base, LoraConfig(target_modules="all-linear")) if adapted else base
    before = [dict(vars(module)) for module in model.modules()]
    with forward_kept(model):
        put_liger_on(model)
        assert "forward" in vars(base.model.layers[0].mlp)
        assert (modeling_llama.LlamaRMSNorm, modeling_llama.LlamaMLP) == classes
    assert [dict(vars(module)) for module in model.modules()] == before
    assert hand_made_liger == [{"rope": False, "cross_entropy": False, "rms_norm": True,
                                "fused_linear_cross_entropy": False, "swiglu": True}]
