"""What a layer keeps for its backward pass, beside what autograd really saves in small models."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from studio.hardware.layer_memory import layer_bytes
from studio.hardware.workload import Workload
from studio.models.shape import shape_of_config
from studio.training.speed.fusing import fusable

BATCH, LENGTH, RANK = 4, 64, 8
SIZES: dict[str, Any] = {
    "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 8,
    "num_key_value_heads": 2, "vocab_size": 500,
}


GPT2 = {"n_inner": 704, "num_key_value_heads": 8, "resid_pdrop": 0.0, "attn_pdrop": 0.0,
        "embd_pdrop": 0.0}
OPT = {"ffn_dim": 704, "word_embed_proj_dim": 256}
BLOOM = {"n_head": 8, "num_key_value_heads": 8, "intermediate_size": 1024}
FALCON = {"new_decoder_architecture": False, "multi_query": True, "ffn_hidden_size": 704}
MIXTRAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
QWEN3_MOE = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 352,
             "head_dim": 32}


@dataclass(frozen=True)
class Case:
    """One way to train a small model. `within` is the share that the estimate may be off."""

    model_type: str = "llama"
    dtype: str = "float32"
    lora: bool = True
    padded: bool = True
    attention: Any = "sdpa"
    targets: Any = "all-linear"
    dropout: float = 0.0
    dora: bool = False
    fused: bool = False
    within: float = 0.01
    extra: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case(), Case(dtype="bfloat16"), Case(dtype="bfloat16", padded=False),
    Case(dtype="bfloat16", attention="eager"), Case(lora=False), Case(dtype="bfloat16", lora=False),
    Case(dropout=0.1), Case(targets=["q_proj", "v_proj"]), Case(dora=True, within=0.02),
    Case("qwen3", extra={"head_dim": 32}), Case("qwen3", "bfloat16", extra={"head_dim": 32}),
    Case("gemma3_text", extra={"head_dim": 32}),
    Case("gemma3_text", "bfloat16", lora=False, extra={"head_dim": 32}),
    Case(attention="eager"),
    Case("phi3", within=0.06, extra={"pad_token_id": 0}),
    Case("phi3", padded=False, within=0.06, extra={"pad_token_id": 0}),
    Case("gpt_neox", padded=False, extra={"num_key_value_heads": 8}),
    Case("gpt_neox", extra={"num_key_value_heads": 8}),
    Case("phi", extra={"num_key_value_heads": 8}),
    Case("gpt2", extra=GPT2), Case("gpt2", padded=False, extra=GPT2),
    Case("gpt2", extra={**GPT2, "resid_pdrop": 0.1, "attn_pdrop": 0.1}),
    Case("opt", extra={"dropout": 0.0, **OPT}), Case("opt", extra=OPT),
    Case("bloom", attention="eager", extra=BLOOM), Case("falcon", extra=FALCON),
    Case("gemma2", attention="eager", extra={"head_dim": 32}),
    Case("mixtral", extra=MIXTRAL), Case("qwen3_moe", extra=QWEN3_MOE),
    Case(fused=True), Case(dtype="bfloat16", fused=True), Case(padded=False, fused=True),
    Case(targets=["q_proj", "v_proj"], fused=True), Case(targets=["up_proj"], fused=True),
    Case(lora=False, fused=True), Case(dropout=0.1, fused=True), Case(dora=True, fused=True),
    Case(attention="eager", fused=True), Case("qwen3", fused=True, extra={"head_dim": 32}),
    Case("qwen3", "bfloat16", fused=True, extra={"head_dim": 32}),
    Case("gemma3_text", fused=True, extra={"head_dim": 32}),
    Case("phi3", fused=True, within=0.06, extra={"pad_token_id": 0}),
    Case("gpt2", fused=True, extra=GPT2), Case("gpt2", "bfloat16", fused=True, extra=GPT2),
    Case("gpt_neox", "bfloat16", fused=True, extra={"num_key_value_heads": 8}),
    Case("olmo2", fused=True), Case("mixtral", fused=True, extra=MIXTRAL),
    Case("opt", "bfloat16", fused=True, extra=OPT),
    Case("granite"), Case("starcoder2", extra={"hidden_act": "gelu_pytorch_tanh"}),
]


def config_of(case: Case, layers: int) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(case.model_type,
                                **{**SIZES, **case.extra, "num_hidden_layers": layers})


def saved_bytes(case: Case, layers: int) -> int:
    """Bytes of all storages that autograd saves in a forward pass, parameters left out."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(
        config_of(case, layers), dtype=getattr(torch, case.dtype),
        attn_implementation=case.attention)
    if case.lora:
        model = get_peft_model(model, LoraConfig(
            r=RANK, target_modules=case.targets, lora_dropout=case.dropout, use_dora=case.dora,
            task_type="CAUSAL_LM"))
        model.enable_input_require_grads()
        model = model.get_base_model()
    if case.fused:
        fusable(model).fuse()
    known = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    packed: list[weakref.ref[Saved]] = []

    def pack(tensor: torch.Tensor) -> Saved:
        saved = Saved(tensor)
        packed.append(weakref.ref(saved))
        return saved

    mask = torch.ones(BATCH, LENGTH, dtype=torch.long)
    if case.padded:
        mask[0, :10] = 0
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        output = model.train().base_model(
            input_ids=torch.arange(BATCH * LENGTH).reshape(BATCH, LENGTH), attention_mask=mask,
            use_cache=False)
    assert output.last_hidden_state.requires_grad
    # What was saved for a graph that nobody needs any more is gone by now.
    alive = [saved.tensor.untyped_storage() for ref in packed if (saved := ref()) is not None]
    sizes = {storage.data_ptr(): storage.nbytes() for storage in alive}
    return sum(size for place, size in sizes.items() if place not in known)


@dataclass(eq=False)
class Saved:
    """Holds a tensor for as long as autograd holds this."""

    tensor: Any


def workload_of_case(case: Case) -> Workload:
    shape = shape_of_config(config_of(case, 2))
    b = 2 if case.dtype == "bfloat16" else 4
    names = {linear.name for linear in (*shape.linears, *shape.stacked)}
    return Workload(
        device="cpu", batch=BATCH, length=LENGTH, dtype=case.dtype, weight_bytes=b,
        activation_bytes=b, trainable_bytes=4 if case.lora else b, trains_base=not case.lora,
        trainable=0, rank=RANK, optimizer="adamw_torch", checkpointing=False,
        targets=frozenset(names if case.targets == "all-linear" else case.targets),
        attention=case.attention, mask_width=LENGTH if case.padded else 0,
        dropout=case.dropout > 0, dora=case.dora,
        fused_layers=case.fused, fused_adapters=case.fused and case.lora and not case.dropout
        and not case.dora,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(
    [c.model_type, c.dtype, "lora" if c.lora else "full", c.attention,
     *(["padded"] if c.padded else []), *(["dropout"] if c.dropout else []),
     *(["dora"] if c.dora else []), *(["fused"] if c.fused else []),
     *(c.targets if isinstance(c.targets, list) else [])]))
def test_a_layer_keeps_what_autograd_saves(case: Case) -> None:
    measured = (saved_bytes(case, 3) - saved_bytes(case, 1)) / 2 / (BATCH * LENGTH)
    layer = layer_bytes(workload_of_case(case), shape_of_config(config_of(case, 2)))
    estimated = layer.kept + layer.kept_weights / (BATCH * LENGTH)
    assert estimated == pytest.approx(measured, rel=case.within)


def test_quantised_weights_are_unpacked_one_at_a_time() -> None:
    shape = shape_of_config(config_of(Case(), 2))
    work = workload_of_case(Case(dtype="bfloat16"))
    assert layer_bytes(work, shape).weight_copy == 0
    assert layer_bytes(replace(work, quantization="4bit"), shape).weight_copy == 2 * 256 * 704


def test_flash_attention_does_not_repeat_keys_and_values() -> None:
    shape = shape_of_config(config_of(Case(), 2))
    padded = workload_of_case(Case())
    flash = replace(padded, attention="flash_attention_2", mask_width=0)
    assert layer_bytes(flash, shape).kept < layer_bytes(padded, shape).kept
