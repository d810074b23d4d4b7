"""Adapters with random, non-zero weights on the tiny model, made by PEFT itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def make_adapter(base: Path, folder: Path, *, seed: int, **options: Any) -> Path:
    """A LoRA adapter that visibly changes what `base` says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 16, "target_modules": "all-linear", **options}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base),
                           LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter.data, std=0.3)
    model.save_pretrained(folder)
    return folder


def make_ia3(base: Path, folder: Path) -> Path:
    """An IA3 adapter, other weights for another name, that cannot share a batch."""
    import torch
    from peft import IA3Config, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(len(folder.name) + ord(folder.name[0]))
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"],
        feedforward_modules=["down_proj"]))
    for name, parameter in model.named_parameters():
        if "ia3_" in name:
            torch.nn.init.normal_(parameter.data, mean=1, std=0.7)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two plain LoRA adapters of different rank, and one DoRA adapter."""
    folder = tmp_path_factory.mktemp("adapters")
    return {
        "one": make_adapter(tiny_model, folder / "one", seed=1),
        "two": make_adapter(tiny_model, folder / "two", seed=2, r=8,
                            target_modules=["q_proj", "v_proj"]),
        "dora": make_adapter(tiny_model, folder / "dora", seed=3, use_dora=True),
    }
