"""An adapter of the starter model, random but real, for measuring with."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def starter_adapter(starter_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of rank 16 on every linear layer of the starter; read only."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapters") / "starter-lora"
    config = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM",
                        init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(starter_model), config).save_pretrained(
        folder)
    return folder
