"""What an empty number of a recipe stands for, and how a form says it in the empty box.

The learning rate has a table of its own in `learning_rate.py`.
"""

from __future__ import annotations

from studio.recipe.fields import Recipe

USUAL_PREFERENCE_BETA = 0.1


def usual_values(recipe: Recipe) -> dict[str, str]:
    """By dotted key, for the fields that may be empty: "usual: 0.0002"."""
    return {
        "training.learning_rate": f"usual: {recipe.usual_learning_rate:g}",
        "preference.beta": f"usual: {USUAL_PREFERENCE_BETA:g}",
        "reinforcement.beta": f"usual: {_usual_reinforcement_beta(recipe):g}",
    }


def preference_beta(recipe: Recipe) -> float:
    """How strongly dpo, kto and orpo hold the model to where it started."""
    beta = recipe.preference.beta
    return USUAL_PREFERENCE_BETA if beta is None else beta


def reinforcement_beta(recipe: Recipe) -> float:
    """How strongly grpo and rloo hold the model to where it started; 0: not at all."""
    beta = recipe.reinforcement.beta
    return _usual_reinforcement_beta(recipe) if beta is None else beta


def _usual_reinforcement_beta(recipe: Recipe) -> float:
    """Of TRL and of most recipes: GRPO does without the reference, RLOO's paper has 0.05."""
    return 0.05 if recipe.training.method == "rloo" else 0.0
