"""What a recipe trains, in a few words, for tables, lists and sentences."""

from __future__ import annotations

from studio.adapters.kinds import describe, kind_of
from studio.recipe import Recipe
from studio.recipe.method_words import method_words

_BITS = {"4bit": "4-bit ", "8bit": "8-bit "}


def trained_words(recipe: Recipe) -> str:
    """What is trained on which base: "LoRA rank 16", "4-bit LoRA rank 16", "All weights"."""
    return _BITS.get(recipe.model.quantization, "") + describe(recipe.adapter)


def run_words(recipe: Recipe) -> str:
    """The same behind the training method: "DPO, 4-bit LoRA rank 16"."""
    return f"{method_words(recipe.training.method).short}, {trained_words(recipe)}"


def usual_for_words(recipe: Recipe) -> str:
    """What a usual value is usual for: "LoRA", "DPO with LoRA", "training all weights"."""
    method = recipe.training.method
    adapter = ("training all weights" if recipe.adapter.trains_base
               else kind_of(recipe.adapter.method).label)
    return adapter if method == "sft" else f"{method_words(method).short} with {adapter}"
