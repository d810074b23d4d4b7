"""Merging from file to file gives what PEFT and Transformers give in memory, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.errors import ModelError
from studio.export.merge import merge
from studio.settings import Settings
from tests.chat.conftest import make_adapter
from tests.export.merging import (
    SMALL_SHARDS,
    filled,
    filled_adapter,
    in_shards,
    lora,
    require_same,
    saved_by_peft,
    set_base,
    tensors_in,
)


@pytest.fixture(scope="module")
def base(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with tied embeddings, in several files."""
    return in_shards(tiny_model, tmp_path_factory.mktemp("bases") / "tiny-in-shards")


@pytest.fixture(scope="module")
def gpt2(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Transposed layers with biases, a square one among them."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("bases") / "tiny-gpt2"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("*.safetensors", "config*"))
    GPT2LMHeadModel(GPT2Config(vocab_size=300, n_positions=64, n_embd=32, n_layer=2, n_head=2)
                    ).save_pretrained(folder, max_shard_size=SMALL_SHARDS)
    return folder


@pytest.mark.parametrize("options", [
    {}, {"use_rslora": True}, {"use_dora": True}, {"bias": "lora_only"}, {"bias": "all"},
    {"modules_to_save": ["lm_head"]}, {"modules_to_save": ["norm"]},
    {"modules_to_save": ["embed_tokens"]}, {"target_modules": ["q_proj", "embed_tokens"]},
    {"target_modules": ["q_proj", "lm_head"]}, {"target_modules": ["o_proj"], "use_dora": True},
    {"trainable_token_indices": [3, 7]},
    {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
], ids=str)
def test_every_lora_merges_as_in_memory(
    base: Path, settings: Settings, tmp_path: Path, options: dict[str, Any]
) -> None:
    adapter = filled_adapter(base, tmp_path / "adapter", lora(**options))
    result = merge(adapter, settings.exports / "merged", settings)
    assert result.notes == ()
    require_same(result.path, saved_by_peft(base, adapter, tmp_path / "expected"))
    names = sorted(file.name for file in base.glob("*.safetensors"))
    assert sorted(file.name for file in result.path.glob("*.safetensors")) == names
    _require_same_ties(result.path, tmp_path / "expected")


def _require_same_ties(merged: Path, expected: Path) -> None:
    ours, theirs = (json.loads((folder / "config.json").read_text(encoding="utf-8"))
                    for folder in (merged, expected))
    assert ours["tie_word_embeddings"] == theirs["tie_word_embeddings"]


@pytest.mark.parametrize("kind", ["ia3", "oft", "vera", "loha", "lokr", "adalora"])
def test_other_kinds_merge_as_in_memory(
    base: Path, settings: Settings, tmp_path: Path, kind: str
) -> None:
    import peft

    config: Any = {
        "ia3": peft.IA3Config(task_type="CAUSAL_LM", feedforward_modules=["down_proj"],
                              target_modules=["k_proj", "v_proj", "down_proj"]),
        "oft": peft.OFTConfig(task_type="CAUSAL_LM", oft_block_size=16,
                              target_modules=["q_proj", "v_proj"]),
        "vera": peft.VeraConfig(task_type="CAUSAL_LM", r=8, target_modules=["q_proj", "o_proj"]),
        "loha": peft.LoHaConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"]),
        "lokr": peft.LoKrConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"]),
        "adalora": peft.AdaLoraConfig(task_type="CAUSAL_LM", init_r=4, target_r=2, total_step=10,
                                      target_modules=["q_proj", "v_proj"]),
    }[kind]
    adapter = filled_adapter(base, tmp_path / "adapter", config)
    result = merge(adapter, settings.exports / "merged", settings)
    assert any("as a whole" in note for note in result.notes) == (kind == "adalora")
    require_same(result.path, saved_by_peft(base, adapter, tmp_path / "expected"))


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"bias": "all"}], ids=str)
def test_transposed_layers_merge_as_in_memory(
    gpt2: Path, settings: Settings, tmp_path: Path, options: dict[str, Any]
) -> None:
    adapter = filled_adapter(gpt2, tmp_path / "adapter",
                       lora(target_modules=["c_attn", "c_proj", "c_fc"], **options))
    result = merge(adapter, settings.exports / "merged", settings)
    assert result.notes == ()
    require_same(result.path, saved_by_peft(gpt2, adapter, tmp_path / "expected"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"bias": "lora_only"}], ids=str)
def test_16_bits_are_rounded_once(tiny_model: Path, settings: Settings, tmp_path: Path,
                                  dtype: torch.dtype, options: dict[str, Any]) -> None:
    base = in_shards(tiny_model, tmp_path / "half", dtype)
    adapter = filled_adapter(base, tmp_path / "adapter", lora(**options))
    result = merge(adapter, settings.exports / "merged", settings)
    require_same(result.path, saved_by_peft(base, adapter, tmp_path / "expected"))


def test_files_with_names_of_the_inner_model_keep_them(
    gpt2: Path, settings: Settings, tmp_path: Path
) -> None:
    """As GPT-2's own: its files hold "h.0.attn" for what the model calls "transformer.h.0.attn"."""
    from transformers import AutoModelForCausalLM

    base = tmp_path / "base"
    shutil.copytree(gpt2, base, ignore=shutil.ignore_patterns("*.safetensors*"))
    tensors = {name.removeprefix("transformer."): tensor
               for name, tensor in tensors_in(gpt2).items()}
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    adapter = filled_adapter(gpt2, tmp_path / "adapter", lora(target_modules=["c_attn"]))
    set_base(adapter, base)
    merged = merge(adapter, settings.exports / "merged", settings).path
    assert tensors_in(merged).keys() == tensors.keys()
    ours = AutoModelForCausalLM.from_pretrained(merged).state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(
        saved_by_peft(gpt2, adapter, tmp_path / "expected")).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_second_copy_of_tied_weights_is_left_out(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    base = tmp_path / "twice"
    shutil.copytree(tiny_model, base)
    tensors = load_file(base / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    adapter = filled_adapter(base, tmp_path / "adapter", lora(target_modules=["embed_tokens"]))
    result = merge(adapter, settings.exports / "merged", settings)
    require_same(result.path, saved_by_peft(base, adapter, tmp_path / "expected"))


@pytest.mark.parametrize("options", [{}, {"init_lora_weights": "orthogonal"}], ids=str)
def test_an_adapter_that_brings_more_tokens_gives_them_to_the_base(
    base: Path, settings: Settings, tmp_path: Path, options: dict[str, Any]
) -> None:
    from peft import PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    tokens = model.config.vocab_size + 5
    model.resize_token_embeddings(tokens)
    adapter = filled(get_peft_model(model, lora(**options)), tmp_path / "adapter")
    set_base(adapter, base)
    merged = AutoModelForCausalLM.from_pretrained(
        merge(adapter, settings.exports / "merged", settings).path)
    plain = AutoModelForCausalLM.from_pretrained(base)
    plain.resize_token_embeddings(tokens)
    expected = PeftModel.from_pretrained(plain, str(adapter)).merge_and_unload().state_dict()
    assert merged.config.vocab_size == tokens
    assert all(torch.equal(tensor, expected[name]) for name, tensor in merged.state_dict().items())


def test_a_base_that_lacks_weights_is_a_sentence(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    base = tmp_path / "lacking"
    shutil.copytree(tiny_model, base)
    tensors = load_file(base / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=3)
    set_base(adapter, base)
    with pytest.raises(ModelError, match=r"lacks 1 of its weights.*up_proj"):
        merge(adapter, settings.exports / "merged", settings)
    assert list(settings.exports.iterdir()) == []


def test_what_is_said_to_be_stored_plainly_is_so() -> None:
    """Transformers turns nothing of these models when it loads them, and each adapted layer is an
    nn.Linear under the name that its files have."""
    from torch import nn
    from transformers import AutoConfig
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter
    from transformers.pytorch_utils import Conv1D

    from studio.export.stream_names import stored_names
    from studio.models.shape import meta_model
    from studio.models.stored_plainly import STORED_PLAINLY

    for kind in sorted(STORED_PLAINLY):
        config = AutoConfig.for_model(kind, num_hidden_layers=1, num_key_value_heads=1)
        model = meta_model(config)
        names = stored_names(model, model.state_dict())
        assert all(name == found for name, found in names.parameter_of.items()), kind
        assert not names.converted, kind
        assert not any(isinstance(module, Conv1D) for module in model.modules()), kind
        assert any(isinstance(module, nn.Linear) for module in model.modules()), kind
        rules = get_model_conversion_mapping(model, add_legacy=False)
        assert not any(isinstance(rule, WeightConverter) for rule in rules), kind
