"""What an empty number of a recipe stands for, as a form says it in the empty box. Words only."""

from __future__ import annotations

from studio.recipe.fields import Recipe


def usual_values(recipe: Recipe) -> dict[str, str]:
    """By dotted key, for the fields that may be empty: "usual: 0.0002"."""
    return {
        "training.learning_rate": f"usual: {recipe.usual_learning_rate:g}",
        "preference.beta": "usual: 0.1",
        "reinforcement.beta": f"usual: {0.05 if recipe.training.method == 'rloo' else 0:g}",
    }
