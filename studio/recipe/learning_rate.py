"""The learning rate that is usual for a training method and an adapter, where a recipe names none.

LoRA 2e-4, DPO 5e-6, GRPO, RLOO and reward models 1e-5 are what the field recommends; continued
pre-training takes less than answers do (5e-5). What other adapters need beside LoRA is from their
papers and PEFT's examples; training all weights takes a tenth.
"""

from __future__ import annotations

_OF_METHOD = {"sft": 2e-4, "pretrain": 5e-5, "dpo": 5e-6, "kto": 5e-6, "orpo": 8e-6,
              "reward": 1e-5, "grpo": 1e-5, "rloo": 1e-5}
_BESIDE_LORA = {"lora": 1.0, "adalora": 5.0, "vera": 20.0, "ia3": 25.0, "oft": 2.5,
                "prompt_tuning": 150.0, "prefix_tuning": 50.0, "none": 0.1}


def usual_learning_rate(method: str, adapter: str) -> float:
    """For `training.method` and `adapter.method`, to two digits."""
    return float(f"{_OF_METHOD[method] * _BESIDE_LORA[adapter]:.2g}")
