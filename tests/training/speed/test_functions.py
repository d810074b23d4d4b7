"""Each fused function beside the arithmetic that it replaces: outputs and every gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.training.setup import forward_kept
from studio.training.speed import head
from studio.training.speed.fusing import fusable
from studio.training.speed.gated import gated_forward


def _adapted(tiny_model: Path, dtype: str = "float32", **lora: Any) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    base = LlamaForCausalLM.from_pretrained(tiny_model, dtype=getattr(torch, dtype))
    model = get_peft_model(base, LoraConfig(
        r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False,
        task_type="CAUSAL_LM", **lora))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def _measured(model: Any) -> tuple[Any, list[Any]]:
    """Logits of a row and the gradients of all that is trained."""
    import torch

    model.zero_grad()
    ids = torch.arange(3, 20)[None]
    logits = model(input_ids=ids).logits.float()
    (logits.log_softmax(-1) ** 2).mean().backward()
    return logits.detach(), [p.grad.float() for p in model.parameters() if p.requires_grad]


def _apart(one: list[Any], other: list[Any]) -> float:
    """Distance by length, all tensors together."""
    apart = sum(float((a - b).square().sum()) for a, b in zip(one, other, strict=True))
    return float((apart / sum(float(b.square().sum()) for b in other)) ** 0.5)


def test_a_fused_model_has_the_same_logits_and_gradients(tiny_model: Path) -> None:
    import torch

    model = _adapted(tiny_model)
    logits, gradients = _measured(model)
    found = fusable(model)
    assert len(found.adapted) == 2 * 7 and len(found.others) == 2 * 3 + 1
    with forward_kept(model):
        found.fuse()
        again, others = _measured(model)
    assert _apart([again], [logits]) < 1e-5
    assert all(_apart([one], [other]) < 1e-4 for one, other in zip(others, gradients, strict=True))
    assert not any("forward" in vars(module) for module in model.modules())
    assert torch.equal(_measured(model)[0], logits)


def test_in_16_bits_a_fused_model_is_as_near_to_the_truth_as_the_plain_one(
    tiny_model: Path
) -> None:
    logits, gradients = _measured(_adapted(tiny_model))
    model = _adapted(tiny_model, "bfloat16")
    plain, plain_gradients = _measured(model)
    fusable(model).fuse()
    fused, fused_gradients = _measured(model)
    assert _apart([fused], [logits]) < 1.25 * _apart([plain], [logits])
    assert _apart(fused_gradients, gradients) < 1.25 * _apart(plain_gradients, gradients)


def test_without_gradients_or_with_the_adapter_off_peft_computes(tiny_model: Path) -> None:
    import torch

    model = _adapted(tiny_model)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        own = model(input_ids=ids).logits
        with model.disable_adapter():
            base = model(input_ids=ids).logits
    fusable(model).fuse()
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, own)
    with model.disable_adapter():
        assert torch.allclose(model(input_ids=ids).logits, base, atol=1e-5)
    model.merge_adapter()
    merged = model(input_ids=ids).logits
    model.unmerge_adapter()
    assert torch.allclose(merged, own, atol=1e-4)


def test_what_a_layer_cannot_do_fused_is_left_alone(tiny_model: Path) -> None:
    assert not fusable(_adapted(tiny_model, lora_dropout=0.1)).adapted
    assert not fusable(_adapted(tiny_model, use_dora=True)).adapted
    trained = _adapted(tiny_model)
    for parameter in trained.parameters():
        parameter.requires_grad = True
    assert not fusable(trained).adapted


def test_a_norm_that_only_has_the_name_is_found_out() -> None:
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    gemma = Gemma2ForCausalLM(Gemma2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16))
    for parameter in gemma.parameters():
        parameter.requires_grad = False
        torch.nn.init.normal_(parameter)
    assert not fusable(gemma).others  # its norms multiply by 1 + weight, its gate is no SiLU


def test_a_gate_before_a_plain_layer_is_fused_too(tiny_model: Path) -> None:
    import torch
    from transformers import LlamaForCausalLM

    gate = LlamaForCausalLM.from_pretrained(tiny_model).model.layers[0].mlp
    for parameter in gate.parameters():
        parameter.requires_grad = False
    x = torch.randn(1, 5, 64, requires_grad=True)
    (own,) = torch.autograd.grad(gate(x).square().sum(), x)
    (ours,) = torch.autograd.grad(gated_forward(gate, x).square().sum(), x)
    assert torch.allclose(own, ours, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("at_once", [1, 7 * 50, 2 ** 24])
def test_the_head_s_log_probabilities_and_their_gradient(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    import torch

    monkeypatch.setattr(head, "SCORES_AT_ONCE", at_once)
    torch.manual_seed(0)
    hidden = torch.randn(20, 16, requires_grad=True)
    weight, bias = torch.randn(50, 16), torch.randn(50)
    targets, share = torch.randint(50, (20,)), torch.rand(20)
    plain = (hidden @ weight.T + bias).log_softmax(-1)[torch.arange(20), targets]
    found = head.log_probabilities(hidden, weight, bias, targets)
    assert torch.allclose(found, plain, atol=1e-5)
    (own,) = torch.autograd.grad((plain * share).sum(), hidden)
    (ours,) = torch.autograd.grad((found * share).sum(), hidden)
    assert torch.allclose(own, ours, atol=1e-5)


def test_a_head_that_is_trained_or_scaled_is_not_plain(tiny_model: Path) -> None:
    model = _adapted(tiny_model)
    assert head.has_plain_head(model)
    model.config.final_logit_softcapping = 30.0
    assert not head.has_plain_head(model)
    assert not head.has_plain_head(_adapted(tiny_model, modules_to_save=["lm_head"]))


def test_a_quantised_base_keeps_its_own_arithmetic(tiny_model: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from studio.device import Device
    from studio.models.loading import load_base
    from studio.models.source import ModelFolder
    from studio.recipe import Model

    wanted = Model(source=str(tiny_model), quantization="4bit", dtype="bfloat16")
    base = load_base(wanted, ModelFolder(tiny_model, "tiny", str(tiny_model)),
                     Device("cpu", "CPU", "bfloat16", 16_000_000_000))
    found = fusable(get_peft_model(base, LoraConfig(
        target_modules="all-linear", task_type="CAUSAL_LM")))
    assert not found.adapted
    assert all(type(module).__name__ == "LlamaRMSNorm" for module, _ in found.others)
