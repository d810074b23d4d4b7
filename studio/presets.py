"""Ready-made settings: three presets per training method, and the recipe the studio opens with.

A preset changes only the fields it names; model and data stay as they are.
"""

from __future__ import annotations

from typing import Any

from studio.errors import RecipeError
from studio.recipe import Recipe
from studio.recipe.training import Method

_Preset = dict[str, Any]
_COMMON: dict[str, _Preset] = {
    "low memory": {
        "model.quantization": "4bit", "adapter.rank": 8, "adapter.alpha": 16,
        "adapter.targets": "attention", "data.max_length": 512, "training.batch_size": 1,
        "training.gradient_accumulation": 16, "training.gradient_checkpointing": True,
        "training.optimizer": "paged_adamw_8bit", "training.epochs": 1.0,
        "training.learning_rate": None,
    },
    "balanced": {
        "model.quantization": "none", "adapter.rank": 16, "adapter.alpha": 32,
        "adapter.targets": "all-linear", "data.max_length": 1024, "training.batch_size": 4,
        "training.gradient_accumulation": 4, "training.gradient_checkpointing": "auto",
        "training.optimizer": "adamw_torch", "training.epochs": 1.0,
        "training.learning_rate": None,
    },
    "best quality": {
        "model.quantization": "none", "adapter.rank": 64, "adapter.alpha": 128,
        "adapter.targets": "all-linear", "data.max_length": 2048, "training.batch_size": 4,
        "training.gradient_accumulation": 8, "training.gradient_checkpointing": "auto",
        "training.optimizer": "adamw_torch", "training.epochs": 1.0,
        "training.learning_rate": None,
    },
}
"""All presets of a method name the same fields, so that the last one pressed counts."""

_BATCHES = ("training.batch_size", "training.gradient_accumulation")
_TWO_ANSWERS: dict[str, _Preset] = {
    "balanced": dict(zip(_BATCHES, (2, 8), strict=True)),
    "best quality": dict(zip(_BATCHES, (2, 16), strict=True)),
}
"""An example is two texts."""
_JUDGED: dict[str, _Preset] = {"low memory": dict(zip(_BATCHES, (2, 8), strict=True))}
"""kto compares the answers of a micro-batch."""
_READING: dict[str, _Preset] = {
    "low memory": {"adapter.rank": 32, "adapter.alpha": 32, "adapter.targets": "all-linear",
                   "data.packing": True},
    "balanced": {"adapter.rank": 64, "adapter.alpha": 64, "training.gradient_accumulation": 8,
                 "data.packing": True},
    "best quality": {"adapter.rank": 256, "adapter.alpha": 256,
                     "training.gradient_accumulation": 16, "data.packing": True},
}
"""What is read is more than a way of answering, and needs more rank (arXiv:2405.09673)."""
_REWARDED: dict[str, _Preset] = {
    "low memory": {"reinforcement.generations": 4, "reinforcement.answer_tokens": 128},
    "balanced": {"reinforcement.generations": 8, "reinforcement.answer_tokens": 256,
                 "training.gradient_accumulation": 8},
    "best quality": {"reinforcement.generations": 16, "reinforcement.answer_tokens": 512,
                     "training.gradient_accumulation": 16},
}
"""The effective batch counts answers: four prompts a step."""
_OWN: dict[Method, dict[str, _Preset]] = {
    "sft": {"best quality": {"training.epochs": 3.0, "training.learning_rate": 1e-4}},
    "pretrain": _READING, "dpo": _TWO_ANSWERS, "orpo": _TWO_ANSWERS, "reward": _TWO_ANSWERS,
    "kto": _JUDGED, "grpo": _REWARDED, "rloo": _REWARDED,
}
_PRESETS = {method: {name: common | own.get(name, {}) for name, common in _COMMON.items()}
            for method, own in _OWN.items()}

SUMMARIES: dict[str, str] = {
    "low memory": "4-bit base, small adapter, few examples at a time. Fits almost anywhere.",
    "balanced": "16-bit base, every linear layer adapted. A good first try.",
    "best quality": "High rank, long examples, large batches. Needs the most memory and time.",
}


def preset_names(method: Method = "sft") -> tuple[str, ...]:
    """The presets of a training method, leanest first."""
    return tuple(_PRESETS[method])


def apply_preset(name: str, recipe: Recipe) -> Recipe:
    """`recipe` with the preset's fields replaced. Raises RecipeError for an unknown name."""
    presets = _PRESETS[recipe.training.method]
    if name not in presets:
        raise RecipeError(f"There is no preset {name!r}.", f"Choose one of {', '.join(presets)}.")
    values = presets[name]
    if recipe.adapter.trains_base and values["model.quantization"] != "none":
        values = {**values, "adapter.method": "lora"}  # quantised weights cannot be trained
    return recipe.with_values(values)


def starter_recipe() -> Recipe:
    """What the studio opens with: the starter model on the starter data, a few minutes on a CPU."""
    return Recipe().with_values({
        "data.max_length": 256, "training.batch_size": 4, "training.gradient_accumulation": 1,
        "training.learning_rate": 1e-3, "training.max_steps": 110, "training.save_steps": 50,
    })
