"""Ready-made settings: three presets per training method, and the recipe the studio opens with.

A preset changes only the fields it names; model and data stay as they are.
"""

from __future__ import annotations

from typing import Any

from studio.errors import RecipeError
from studio.recipe import Recipe

_SFT: dict[str, dict[str, Any]] = {
    "low memory": {
        "model.quantization": "4bit", "adapter.rank": 8, "adapter.alpha": 16,
        "adapter.targets": "attention", "data.max_length": 512, "training.batch_size": 1,
        "training.gradient_accumulation": 16, "training.gradient_checkpointing": True,
        "training.optimizer": "paged_adamw_8bit",
    },
    "balanced": {
        "model.quantization": "none", "adapter.rank": 16, "adapter.alpha": 32,
        "adapter.targets": "all-linear", "data.max_length": 1024, "training.batch_size": 4,
        "training.gradient_accumulation": 4, "training.gradient_checkpointing": "auto",
        "training.optimizer": "adamw_torch",
    },
    "best quality": {
        "model.quantization": "none", "adapter.rank": 64, "adapter.alpha": 128,
        "adapter.targets": "all-linear", "data.max_length": 2048, "training.batch_size": 4,
        "training.gradient_accumulation": 8, "training.gradient_checkpointing": "auto",
        "training.optimizer": "adamw_torch", "training.epochs": 3.0,
        "training.learning_rate": 1e-4,
    },
}
_PRESETS: dict[str, dict[str, dict[str, Any]]] = {"sft": _SFT}

SUMMARIES: dict[str, str] = {
    "low memory": "4-bit base, small adapter, one example at a time. Fits almost anywhere.",
    "balanced": "16-bit base, rank 16 on every linear layer. A good first try.",
    "best quality": "Rank 64, long examples, three passes. Needs the most memory and time.",
}


def preset_names(method: str = "sft") -> tuple[str, ...]:
    """The presets of a training method, leanest first."""
    return tuple(_PRESETS[method])


def apply_preset(name: str, recipe: Recipe) -> Recipe:
    """`recipe` with the preset's fields replaced. Raises RecipeError for an unknown name."""
    presets = _PRESETS[recipe.training.method]
    if name not in presets:
        raise RecipeError(f"There is no preset {name!r}.", f"Choose one of {', '.join(presets)}.")
    return recipe.with_values(presets[name])


def starter_recipe() -> Recipe:
    """What the studio opens with: the starter model on the starter data, a few minutes on a CPU."""
    return Recipe().with_values({
        "data.max_length": 256, "training.batch_size": 4, "training.gradient_accumulation": 1,
        "training.learning_rate": 1e-3, "training.max_steps": 110, "training.save_steps": 50,
    })
