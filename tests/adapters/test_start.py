"""Starts made from the base's weights change nothing at first, and are told apart later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.adapters import peft_config
from studio.adapters.folder import read_adapter_folder, require_fit
from studio.adapters.start import make_up_for_rounding, take_apart
from studio.errors import ModelError
from studio.models.shape import shape_of_config
from studio.recipe import Adapter
from tests.adapters.families import config_of


def adapted(family: str, adapter: Adapter, dtype: str = "float32") -> tuple[Any, Any]:
    """(the model with a plain adapter, the logits of its base)."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = config_of(family)
    base = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()
    with torch.no_grad():
        logits = base(input_ids=_ids()).logits
    return get_peft_model(base, peft_config(adapter, shape_of_config(config))).eval(), logits


def _ids() -> Any:
    import torch

    return torch.arange(3, 30)[None]


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "phi3"])
@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_the_sum_is_the_base_as_it_was(family: str, init: str) -> None:
    import torch

    if (family, init) == ("gpt2", "olora"):
        return  # refused before anything is loaded, see test_kinds.py
    model, before = adapted(family, Adapter(rank=4, init=init, use_rslora=family == "qwen2"))
    layer = next(module for name, module in model.named_modules()
                 if name.endswith(("q_proj", "c_attn", "qkv_proj")))
    weight = layer.get_base_layer().weight.clone()
    take_apart(model, init, None)
    assert not torch.equal(layer.get_base_layer().weight, weight)
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=_ids()).logits, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_kept_start_gives_the_same_base_to_the_bit(dtype: str, tmp_path: Path) -> None:
    import torch

    adapter = Adapter(rank=4, init="pissa", rank_pattern={"down_proj": 2})
    first, _ = adapted("llama", adapter, dtype)
    take_apart(first, "pissa", tmp_path / "start.safetensors")
    again, _ = adapted("llama", adapter, dtype)
    torch.manual_seed(999)  # nothing is drawn any more
    take_apart(again, "pissa", tmp_path / "start.safetensors")
    for (name, one), other in zip(first.state_dict().items(), again.state_dict().values(),
                                  strict=True):
        assert torch.equal(one, other), name


def test_loftq_takes_back_some_of_what_rounding_took(tiny_model: Path) -> None:
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    whole = AutoModelForCausalLM.from_pretrained(tiny_model)
    rounded = AutoModelForCausalLM.from_pretrained(tiny_model, quantization_config=
                                                   BitsAndBytesConfig(load_in_4bit=True))
    model = get_peft_model(rounded, peft_config(Adapter(init="loftq"),
                                                shape_of_config(whole.config)))
    make_up_for_rounding(model, tiny_model)
    for name, module in whole.named_modules():
        if not name.endswith("_proj"):
            continue
        layer = model.get_submodule(f"base_model.model.{name}")
        held = layer.get_base_layer().weight
        kept = dequantize_4bit(held.data, held.quant_state).float()
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        lost = torch.linalg.matrix_norm(module.weight - kept)
        left = torch.linalg.matrix_norm(
            module.weight - kept - layer.scaling["default"] * (b @ a))
        assert left < 0.8 * lost, name


def test_a_checkpoint_of_such_a_start_is_no_adapter_of_the_base(tmp_path: Path) -> None:
    model, _ = adapted("llama", Adapter(rank=4))
    model.peft_config["default"].init_lora_weights = "pissa"
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="trained over a changed base"):
        require_fit(read_adapter_folder(tmp_path), model.get_base_model(), "tiny")
