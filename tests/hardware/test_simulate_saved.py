"""What a simulated step keeps for its backward pass, beside what autograd really keeps."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import pytest

from studio.hardware.simulate.casting import casting
from studio.hardware.simulate.model import build
from studio.hardware.workload import Workload
from studio.models.shape import shape_of_config
from studio.training.speed.fusing import fusable

BATCH, LENGTH, RANK, LAYERS = 2, 64, 8, 2
SIZES: dict[str, Any] = {
    "hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 8,
    "num_key_value_heads": 2, "vocab_size": 500, "num_hidden_layers": LAYERS,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}
MIXTURE: dict[str, Any] = {"num_experts_per_tok": 2, "num_local_experts": 4, "num_experts": 4,
                           "moe_intermediate_size": 96}


@dataclass(frozen=True)
class Case:
    """One way to train a small model."""

    model_type: str
    dtype: str = "float32"
    attention: Any = "sdpa"
    lora: bool = True
    dropout: float = 0.0
    dora: bool = False
    fused: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        flags = [name for name in ("dropout", "dora", "fused") if getattr(self, name)]
        return "-".join([self.model_type, self.dtype, self.attention,
                         "lora" if self.lora else "full", *flags])


CASES = [
    Case("llama"), Case("llama", "bfloat16"), Case("llama", lora=False),
    Case("llama", "bfloat16", "eager"), Case("llama", dora=True), Case("llama", dropout=0.1),
    Case("llama", fused=True), Case("llama", "bfloat16", fused=True),
    Case("llama", dropout=0.1, fused=True), Case("qwen3", fused=True, extra={"head_dim": 32}),
    Case("qwen2", "bfloat16"), Case("qwen3", extra={"head_dim": 32}),
    Case("gemma2", "bfloat16", "eager", extra={"head_dim": 32}),
    Case("gemma3_text", "bfloat16", lora=False, extra={"head_dim": 32}),
    Case("phi3"), Case("phi", extra={"num_key_value_heads": 8}),
    Case("gpt2", extra={"n_embd": 256, "n_head": 8, "n_layer": LAYERS, "attn_pdrop": 0.0}),
    Case("gpt_neox", "bfloat16", extra={"num_key_value_heads": 8}),
    Case("falcon", "bfloat16", "eager"),
    Case("opt", extra={"ffn_dim": 512, "word_embed_proj_dim": 256}),
    Case("bloom", attention="eager", extra={"n_head": 8, "n_layer": LAYERS}),
    Case("mixtral", lora=False, extra=MIXTURE), Case("qwen3_moe", extra=MIXTURE),
]


def config_of(case: Case) -> Any:
    from transformers import AutoConfig

    sizes = {**SIZES, **case.extra}
    if case.model_type in ("gpt2", "bloom"):
        sizes = {key: value for key, value in sizes.items() if not key.startswith("num_")}
    return AutoConfig.for_model(case.model_type, **sizes)


def workload_of_case(case: Case) -> Workload:
    shape = shape_of_config(config_of(case))
    b = 2 if case.dtype == "bfloat16" else 4
    return Workload(
        device="cpu", batch=BATCH, length=LENGTH, dtype=case.dtype, weight_bytes=b,
        activation_bytes=b, trainable_bytes=4 if case.lora else b, trains_base=not case.lora,
        trainable=0, rank=RANK, optimizer="adamw_torch", checkpointing=False,
        targets=frozenset(linear.name for linear in shape.linears), attention=case.attention,
        dropout=case.dropout > 0, dora=case.dora,
        fused_layers=case.fused, fused_adapters=case.fused and case.lora and not case.dropout
        and not case.dora,
    )


def real_model(case: Case) -> Any:
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(
        config_of(case), dtype=getattr(torch, case.dtype), attn_implementation=case.attention)
    if case.lora:
        get_peft_model(model, adapter_of(case))
    if case.fused:
        fusable(model).fuse()
    return model.train()


def adapter_of(case: Case) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=RANK, target_modules="all-linear", lora_dropout=case.dropout,
                      use_dora=case.dora, task_type="CAUSAL_LM",
                      fan_in_fan_out=case.model_type == "gpt2")


def saved_bytes(model: Any, case: Case, device: str) -> int:
    """Bytes of all storages that autograd keeps after a forward pass, parameters left out."""
    import torch

    model.enable_input_require_grads()
    known = {p.untyped_storage()._cdata for p in [*model.parameters(), *model.buffers()]}
    packed: list[weakref.ref[Saved]] = []

    def pack(tensor: torch.Tensor) -> Saved:
        saved = Saved(tensor)
        packed.append(weakref.ref(saved))
        return saved

    ids = torch.arange(BATCH * LENGTH).reshape(BATCH, LENGTH).to(device)
    dtype = getattr(torch, case.dtype)
    # transformers would look into the tokens for what to mask, which nothing on meta allows.
    mask = torch.zeros(BATCH, 1, LENGTH, LENGTH, dtype=dtype, device=device)
    eager = case.attention == "eager" and model._supports_attention_backend
    inputs = {"attention_mask": mask} if eager else {}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        output = model.base_model(input_ids=ids, use_cache=False, **inputs).last_hidden_state
    assert output.requires_grad
    alive = [saved.tensor.untyped_storage() for ref in packed if (saved := ref()) is not None]
    sizes = {storage._cdata: storage.nbytes() for storage in alive}
    return sum(size for place, size in sizes.items() if place not in known)


@dataclass(eq=False)
class Saved:
    """Holds a tensor for as long as autograd holds this."""

    tensor: Any


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_simulated_model_keeps_what_autograd_keeps(case: Case) -> None:
    real = saved_bytes(real_model(case), case, "cpu")
    adapter = adapter_of(case) if case.lora else None
    built = build(workload_of_case(case), config_of(case), None, adapter)
    with casting(None, on_gpu=False):
        simulated = saved_bytes(built.model, case, "meta")
    assert simulated == pytest.approx(real, rel=0.002)
