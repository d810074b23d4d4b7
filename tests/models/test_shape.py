"""Shapes from configurations alone: equal to the real model's, without its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.adapters.targets import attention_names
from studio.errors import ModelError
from studio.models.shape import meta_model, model_shape, shape_of_config
from studio.settings import Settings
from tests.adapters.families import FAMILIES, config_of


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_and_linears_are_those_of_the_real_model(family: str) -> None:
    from torch import nn
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    config = config_of(family)
    shape = shape_of_config(config)
    real = AutoModelForCausalLM.from_config(config)
    assert shape.parameters == sum(p.numel() for p in real.parameters())
    head = real.get_output_embeddings()
    linears = {path for path, module in real.named_modules()
               if isinstance(module, nn.Linear | Conv1D) and module is not head}
    assert {path for linear in shape.linears for path in linear.modules} == linears
    for linear in shape.linears:
        module = real.get_submodule(linear.modules[0])
        assert linear.parameters == linear.count * sum(p.numel() for p in module.parameters())
    assert (shape.layers, shape.hidden, shape.heads, shape.vocabulary) == (2, 32, 4, 96)


def test_a_meta_model_holds_no_memory() -> None:
    model = meta_model(config_of("llama"))
    assert {str(p.device) for p in model.parameters()} == {"meta"}


@pytest.mark.parametrize(("family", "names"), [
    ("llama", {"q_proj", "k_proj", "v_proj", "o_proj"}),
    ("gemma2", {"q_proj", "k_proj", "v_proj", "o_proj"}),
    ("phi3", {"qkv_proj", "o_proj"}),
    ("gpt2", {"c_attn", "attn.c_proj"}),
    ("gpt_neox", {"query_key_value", "dense"}),
    ("falcon", {"query_key_value", "dense"}),
    ("bloom", {"query_key_value", "dense"}),
    ("opt", {"q_proj", "k_proj", "v_proj", "out_proj"}),
    ("qwen3_moe", {"q_proj", "k_proj", "v_proj", "o_proj"}),
])
def test_attention_goes_by_each_familys_own_names(family: str, names: set[str]) -> None:
    assert set(attention_names(shape_of_config(config_of(family)))) == names


@pytest.mark.parametrize(("family", "kv_heads"), [("llama", 2), ("gpt2", 4), ("falcon", 1)])
def test_key_and_value_heads(family: str, kv_heads: int) -> None:
    assert shape_of_config(config_of(family)).kv_heads == kv_heads


def test_a_folder_needs_only_its_config(tmp_path: Path, settings: Settings) -> None:
    config_of("qwen3").save_pretrained(tmp_path)
    shape = model_shape(str(tmp_path), settings)
    assert (shape.name, shape.architecture) == (tmp_path.name, "Qwen3ForCausalLM")
    assert model_shape(str(tmp_path), settings) is shape


def test_a_changed_config_is_read_again(tmp_path: Path, settings: Settings) -> None:
    config = config_of("llama")
    config.save_pretrained(tmp_path)
    before = model_shape(str(tmp_path), settings)
    config.num_hidden_layers = 3
    config.save_pretrained(tmp_path)
    assert (before.layers, model_shape(str(tmp_path), settings).layers) == (2, 3)


@pytest.mark.parametrize("config", [
    {"model_type": "t5"}, {"model_type": "llama", "hidden_size": "many"}, {"model_type": "vit"},
])
def test_what_is_no_text_model_is_said(
    config: dict[str, object], tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match=r"cannot be read from its config.json") as error:
        model_shape(str(tmp_path), settings)
    assert "\n" not in error.value.message
