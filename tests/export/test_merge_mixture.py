"""Mixtures of experts merge from file to file, too: what comes out is what PEFT and Transformers
give in memory, bit for bit, in the names and the form that the files had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.errors import ModelError
from studio.export import stream_experts
from studio.export.merge import merge
from studio.settings import Settings
from tests.adapters.families import config_of
from tests.export.merging import (
    filled_adapter,
    lora,
    require_same,
    saved_by_peft,
    set_base,
    tensors_in,
)

_EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


def _mixture(family: str, tiny_model: Path, folder: Path, dtype: torch.dtype = torch.float32,
             **changes: Any) -> Path:
    from transformers import AutoModelForCausalLM

    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("*.safetensors", "config*"))
    torch.manual_seed(3)
    # Some keep single numbers in 32 bits, whatever the format of the rest.
    model: Any = AutoModelForCausalLM.from_config(config_of(family, **changes), dtype=dtype)
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    return folder


@pytest.fixture(scope="module")
def mixtral(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose files hold the experts one by one, and name the layers otherwise than the model."""
    return _mixture("mixtral", tiny_model, tmp_path_factory.mktemp("mixtures") / "mixtral")


def _require_streamed(base: Path, adapter: Path, settings: Settings, tmp_path: Path) -> None:
    result = merge(adapter, settings.exports / "merged", settings)
    assert result.notes == ()
    require_same(result.path, saved_by_peft(base, adapter, tmp_path / "expected"))
    before, after = tensors_in(base), tensors_in(result.path)
    assert before.keys() <= after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("options", [
    {"target_modules": ["q_proj", "o_proj"]}, {"target_parameters": _EXPERTS[:1]},
    {"target_parameters": _EXPERTS, "use_rslora": True},
    {"target_parameters": ["mlp.gate.weight"]},
    {"target_modules": "all-linear"}, {"modules_to_save": ["experts"]},
    {"modules_to_save": ["gate"]}, {"target_modules": ["o_proj", "lm_head", "embed_tokens"]},
    {"target_parameters": _EXPERTS, "bias": "all"},
], ids=str)
def test_every_lora_on_a_mixture_merges_as_in_memory(
    mixtral: Path, settings: Settings, tmp_path: Path, options: dict[str, Any]
) -> None:
    adapter = filled_adapter(mixtral, tmp_path / "adapter",
                             lora(**{"target_modules": ["q_proj"], **options}))
    _require_streamed(mixtral, adapter, settings, tmp_path)


@pytest.mark.parametrize(("family", "dtype"), [
    ("mixtral", torch.bfloat16), ("qwen2_moe", torch.float32), ("qwen3_moe", torch.float32),
    ("olmoe", torch.float16), ("gpt_oss", torch.bfloat16), ("deepseek_v3", torch.float32),
], ids=str)
def test_experts_of_every_family_merge_as_in_memory(
    tiny_model: Path, settings: Settings, tmp_path: Path, family: str, dtype: torch.dtype
) -> None:
    base = _mixture(family, tiny_model, tmp_path / family, dtype)
    router = "mlp.router.weight" if family == "gpt_oss" else "mlp.gate.weight"
    adapter = filled_adapter(base, tmp_path / "adapter", lora(
        target_modules=["o_proj"], target_parameters=[*_EXPERTS, router]))
    _require_streamed(base, adapter, settings, tmp_path)


def test_a_head_that_is_no_longer_tied_joins_the_files_of_a_mixture(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    base = _mixture("qwen3_moe", tiny_model, tmp_path / "tied", tie_word_embeddings=True)
    adapter = filled_adapter(base, tmp_path / "adapter", lora(
        target_modules=["o_proj"], target_parameters=_EXPERTS, modules_to_save=["lm_head"]))
    _require_streamed(base, adapter, settings, tmp_path)
    assert "lm_head.weight" in tensors_in(settings.exports / "merged")


def test_an_older_adapter_with_one_pair_for_each_expert_merges_too(
    mixtral: Path, settings: Settings, tmp_path: Path
) -> None:
    """As PEFT wrote them when each expert was a layer of its own."""
    adapter = tmp_path / "older"
    adapter.mkdir()
    tensors = {}
    for name, weight in tensors_in(mixtral).items():
        if ".experts." in name or "q_proj" in name or "block_sparse_moe.gate" in name:
            layer = f"base_model.model.{name.removesuffix('.weight')}"
            tensors[f"{layer}.lora_A.weight"] = torch.randn(4, weight.shape[1])
            tensors[f"{layer}.lora_B.weight"] = torch.randn(weight.shape[0], 4)
    save_file(tensors, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    (adapter / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 16,
        "target_modules": ["q_proj", "w1", "w2", "w3", "gate"]}), encoding="utf-8")
    set_base(adapter, mixtral)
    _require_streamed(mixtral, adapter, settings, tmp_path)
    expert = "model.layers.1.block_sparse_moe.experts.2.w3"
    update = 4 * (tensors[f"base_model.model.{expert}.lora_B.weight"]
                  @ tensors[f"base_model.model.{expert}.lora_A.weight"])
    torch.testing.assert_close(tensors_in(settings.exports / "merged")[f"{expert}.weight"],
                               tensors_in(mixtral)[f"{expert}.weight"] + update)


def test_experts_that_lie_in_the_files_as_one_stay_so(
    tiny_model: Path, mixtral: Path, settings: Settings, tmp_path: Path
) -> None:
    """As the model computes with them; Transformers then has nothing to convert."""
    from transformers import AutoModelForCausalLM

    base = tmp_path / "joined"
    shutil.copytree(mixtral, base, ignore=shutil.ignore_patterns("*.safetensors*"))
    state = AutoModelForCausalLM.from_pretrained(mixtral).state_dict()
    save_file(state, base / "model.safetensors", metadata={"format": "pt"})
    adapter = filled_adapter(mixtral, tmp_path / "adapter",
                             lora(target_modules=["q_proj"], target_parameters=_EXPERTS))
    set_base(adapter, base)
    _require_streamed(base, adapter, settings, tmp_path)
    assert "model.layers.0.mlp.experts.gate_up_proj" in tensors_in(settings.exports / "merged")


def test_a_few_experts_at_a_time_come_out_as_all_at_once(
    tiny_model: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = _mixture("mixtral", tiny_model, tmp_path / "seven", num_local_experts=7)
    adapter = filled_adapter(base, tmp_path / "adapter",
                             lora(target_modules=["q_proj"], target_parameters=_EXPERTS))
    monkeypatch.setattr(stream_experts, "_NUMBERS_AT_ONCE", 1)
    assert stream_experts._slices(7, 99) == [(0, 2), (2, 4), (4, 7)]
    _require_streamed(base, adapter, settings, tmp_path)


def _without(base: Path, folder: Path, lacking: str) -> Path:
    """A copy of the model without one tensor."""
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    tensors = tensors_in(base)
    del tensors[lacking]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("options", [{}, {"target_parameters": _EXPERTS}], ids=str)
def test_a_mixture_that_lacks_an_expert_is_a_sentence(
    mixtral: Path, settings: Settings, tmp_path: Path, options: dict[str, Any]
) -> None:
    base = _without(mixtral, tmp_path / "lacking",
                    "model.layers.1.block_sparse_moe.experts.3.w2.weight")
    adapter = filled_adapter(mixtral, tmp_path / "adapter",
                             lora(target_modules=["q_proj"], **options))
    set_base(adapter, base)
    with pytest.raises(ModelError, match=r"lacks 1 of its weights.*layers.1.mlp.experts.down_proj"):
        merge(adapter, settings.exports / "merged", settings)
    assert list(settings.exports.iterdir()) == []


def test_files_that_saving_would_name_otherwise_are_merged_in_memory_and_that_is_said(
    mixtral: Path, settings: Settings, tmp_path: Path
) -> None:
    """As of a model that was saved without its head: "layers.0", not "model.layers.0"."""
    base = tmp_path / "inner"
    shutil.copytree(mixtral, base, ignore=shutil.ignore_patterns("*.safetensors*"))
    save_file({name.removeprefix("model."): tensor for name, tensor in tensors_in(mixtral).items()},
              base / "model.safetensors", metadata={"format": "pt"})
    adapter = filled_adapter(mixtral, tmp_path / "adapter",
                             lora(target_modules=["q_proj"], target_parameters=_EXPERTS))
    set_base(adapter, base)
    result = merge(adapter, settings.exports / "merged", settings)
    assert "in another form than Transformers writes them in" in result.notes[0]
    require_same(result.path, saved_by_peft(base, adapter, tmp_path / "expected"))
    assert load_file(result.path / "model.safetensors").keys() == tensors_in(mixtral).keys()
