"""What an alarm advises about the adapter, in the fields that this adapter has."""

from __future__ import annotations

from studio.recipe import Recipe
from studio.recipe.used import is_used

_SIZES = (
    ("adapter.rank", "a smaller adapter.rank", "A larger adapter.rank"),
    ("adapter.block_size", "a smaller adapter.block_size", "A larger adapter.block_size"),
    ("adapter.virtual_tokens", "fewer adapter.virtual_tokens", "More adapter.virtual_tokens"),
)
"""The field that decides how much an adapter can learn, and how to name less and more of it."""


def learn_less(recipe: Recipe) -> str:
    """What makes learning by heart harder, to stand inside a sentence."""
    found = ["a little adapter.dropout"] if is_used("adapter.dropout", recipe) else []
    found += [less for key, less, _ in _SIZES if is_used(key, recipe)]
    return " or ".join(found) or "a lower training.learning_rate"


def learn_more(recipe: Recipe) -> str:
    """What gives the adapter more to learn with, a sentence; empty where there is nothing."""
    found = [more for key, _, more in _SIZES if is_used(key, recipe)]
    if is_used("adapter.targets", recipe) and recipe.adapter.targets != "all-linear":
        found.append("adapter.targets: all-linear")
    if found:
        return f"{' or '.join(found)} can learn more."
    # IA3 has no size.
    return "" if recipe.adapter.trains_base else "adapter.method: lora can learn more."
