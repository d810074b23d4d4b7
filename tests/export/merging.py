"""What tests of merging share: adapters full of random numbers, and PEFT's way beside ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

SMALL_SHARDS = "60KB"
"""Of which the tiny model has several."""


def saved_by_peft(base: Path, adapter: Path, folder: Path) -> Path:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype="auto"), str(adapter))
    model.merge_and_unload().save_pretrained(folder, max_shard_size=SMALL_SHARDS)
    return folder


def tensors_in(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors"))
            for name, tensor in load_file(file).items()}


def require_same(merged: Path, expected: Path, rounding: float = 0) -> None:
    ours, theirs = tensors_in(merged), tensors_in(expected)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype and ours[name].shape == tensor.shape, name
        if rounding:
            torch.testing.assert_close(ours[name], tensor, rtol=rounding, atol=0)
        else:
            assert torch.equal(ours[name], tensor), name
    index = merged / "model.safetensors.index.json"
    if index.is_file():
        where = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        assert where.keys() == ours.keys()
        for file in set(where.values()):
            assert {name for name in where if where[name] == file} == set(load_file(merged / file))


def in_shards(source: Path, folder: Path, dtype: torch.dtype | None = None) -> Path:
    from transformers import AutoModelForCausalLM

    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    AutoModelForCausalLM.from_pretrained(source, dtype=dtype or "auto").save_pretrained(
        folder, max_shard_size=SMALL_SHARDS)
    assert len(list(folder.glob("*.safetensors"))) > 3
    return folder


def filled(model: Any, folder: Path) -> Path:
    """Every number that PEFT would train is a random one, and saved."""
    torch.manual_seed(11)
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype.is_floating_point:
            torch.nn.init.normal_(parameter.data, mean=0.3, std=0.3)
    model.save_pretrained(folder)
    return folder


def filled_adapter(base: Path, folder: Path, config: Any) -> Path:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    return filled(get_peft_model(AutoModelForCausalLM.from_pretrained(base), config), folder)


def lora(**options: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", **{
        "r": 4, "lora_alpha": 16, "target_modules": "all-linear", **options})


def set_base(adapter: Path, base: Path) -> None:
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"base_model_name_or_path": str(base)}), encoding="utf-8")
