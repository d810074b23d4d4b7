"""The configurations of the grid: which model, and what is changed in the recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STARTER_FAMILY = "starter"


@dataclass(frozen=True)
class Case:
    """`batch` examples of exactly `length` tokens each, all of them carrying loss.

    Unless `changes` say otherwise an adapter of rank 16 on all linear layers is trained, without
    checkpointing.
    """

    group: str
    family: str
    batch: int
    length: int
    what: str = "LoRA 16"
    changes: dict[str, Any] = field(default_factory=dict)


_ATTENTION = {"adapter.targets": "attention", "adapter.rank": 8}
_CHECKPOINTED = {"training.gradient_checkpointing": True}
_FULL = {"adapter.method": "none"}
_FOUR_BITS = {"model.quantization": "4bit"}
_EIGHT_BITS = {"model.quantization": "8bit"}

CASES: tuple[Case, ...] = (
    *(Case("families", family, 4, 256) for family in (
        "llama", "qwen3", "gemma2", "gemma3", "phi3", "gpt2", "gpt_neox", "opt", "bloom",
        "mixtral", "qwen3_moe")),
    Case("lengths", "llama", 1, 128),
    Case("lengths", "llama", 8, 128),
    Case("lengths", "llama", 1, 1024),
    Case("lengths", "qwen3", 8, 512),
    Case("lengths", "gemma2", 1, 512),
    Case("adapters", "llama", 4, 256, "LoRA 64", {"adapter.rank": 64}),
    Case("adapters", "qwen3", 4, 512, "LoRA 8, attention", _ATTENTION),
    Case("adapters", "gpt2", 1, 512, "LoRA 8, attention", _ATTENTION),
    Case("adapters", "llama", 1, 512, "DoRA", {"adapter.use_dora": True}),
    Case("adapters", "qwen3", 4, 256, "dropout", {"adapter.dropout": 0.05}),
    Case("adapters", "llama", 4, 256, "eager attention", {"model.attention": "eager"}),
    Case("adapters", "llama", 2, 512, "bfloat16", {"model.dtype": "bfloat16"}),
    Case("checkpointing", "llama", 4, 512, "checkpointing", _CHECKPOINTED),
    Case("checkpointing", "gemma3", 1, 1024, "checkpointing", _CHECKPOINTED),
    Case("checkpointing", "gpt_neox", 8, 256, "checkpointing", _CHECKPOINTED),
    Case("checkpointing", "mixtral", 1, 1024, "checkpointing", _CHECKPOINTED),
    Case("full tuning", "llama", 1, 512, "full", _FULL),
    Case("full tuning", "qwen3", 4, 256, "full", _FULL),
    Case("full tuning", "gpt2", 4, 128, "full", _FULL),
    Case("full tuning", "opt", 4, 256, "full, checkpointing", _FULL | _CHECKPOINTED),
    Case("full tuning", "qwen3", 2, 256, "full, 2 micro-batches",
         _FULL | {"training.gradient_accumulation": 2}),
    Case("4-bit base", "llama", 4, 256, "QLoRA", _FOUR_BITS),
    Case("4-bit base", "qwen3", 1, 512, "QLoRA, checkpointing", _FOUR_BITS | _CHECKPOINTED),
    Case("8-bit base", "llama", 4, 256, "8 bits", _EIGHT_BITS),
    Case("8-bit base", "qwen3", 1, 512, "8 bits, checkpointing", _EIGHT_BITS | _CHECKPOINTED),
    Case("starter", STARTER_FAMILY, 1, 128),
    Case("starter", STARTER_FAMILY, 4, 256),
    Case("starter", STARTER_FAMILY, 4, 256, "checkpointing", _CHECKPOINTED),
    Case("starter", STARTER_FAMILY, 2, 256, "packing", {"data.packing": True}),
    Case("starter", STARTER_FAMILY, 1, 256, "QLoRA", _FOUR_BITS),
    Case("starter", STARTER_FAMILY, 1, 256, "8 bits", _EIGHT_BITS),
    Case("starter", STARTER_FAMILY, 1, 128, "full", _FULL),
)
QUICK: tuple[Case, ...] = (
    Case("families", "llama", 1, 256),
    Case("families", "gpt2", 1, 256),
    Case("checkpointing", "llama", 4, 256, "checkpointing", _CHECKPOINTED),
    Case("full tuning", "qwen3", 1, 256, "full", _FULL),
)
