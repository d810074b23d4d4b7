"""Random adapters of the tiny model, and what they change in each of its layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chat.conftest import make_adapter

Changes = dict[str, Any]


@pytest.fixture(scope="session")
def parents(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """LoRA adapters: two of one rank, a wider one on fewer layers, two rsLoRA, one on words."""
    folder = tmp_path_factory.mktemp("parents")
    few = ["q_proj", "v_proj"]
    options: dict[str, dict[str, Any]] = {
        "first": {}, "second": {"lora_alpha": 8},
        "wide": {"r": 8, "target_modules": few},
        "stable": {"use_rslora": True, "target_modules": few},
        "steady": {"use_rslora": True, "target_modules": few, "lora_alpha": 6},
        "uneven": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
        "words": {"target_modules": ["embed_tokens", "q_proj"]},
        "other words": {"target_modules": ["embed_tokens"]},
    }
    return {name: make_adapter(tiny_model, folder / name, seed=seed, **chosen)
            for seed, (name, chosen) in enumerate(options.items(), start=1)}


@pytest.fixture(scope="session")
def changes_of(tiny_model: Path) -> Callable[[Path], Changes]:
    """What plain PEFT, with the base loaded, adds to each weight for an adapter folder."""

    def loaded(folder: Path) -> Changes:
        from peft import PeftModel
        from peft.tuners.lora import LoraLayer
        from transformers import AutoModelForCausalLM

        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), folder)
        return {name: layer.get_delta_weight("default").detach()
                for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}

    return loaded
