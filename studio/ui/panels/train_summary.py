"""What will run when Start is pressed, in words: pure, from a Reading of the form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.adapters.kinds import describe, kind_of
from studio.recipe.method_words import method_words
from studio.ui import markup

if TYPE_CHECKING:
    from studio.recipe import Recipe
    from studio.ui.reading import Reading

TARGETS = {"all-linear": "all linear layers", "attention": "the attention layers"}


def summary_view(reading: Reading | None) -> str:
    """Model, data, adapter, batch and length; or what is wrong with the settings."""
    if reading is None:
        return '<div class="quiet">Reading the settings …</div>'
    if reading.problem is not None:
        return markup.note(reading.problem.message, reading.problem.hint, "warning")
    recipe = reading.recipe
    if recipe is None:
        return ""
    return markup.facts([
        ("Method", method_words(recipe.training.method).label),
        ("Model", _model(recipe, reading)),
        ("Data", _data(recipe)),
        ("Adapter", _adapter(recipe, reading)),
        ("Batch", _batch(recipe)),
        ("Learning rate", _rate(recipe)),
        ("Length", _length(recipe)),
    ])


def _model(recipe: Recipe, reading: Reading) -> str:
    name = reading.shape.name if reading.shape else recipe.model.source
    if recipe.model.source == "starter":
        name = f"{name} (starter)"
    size = f", {_parameters(reading.shape.parameters)} parameters" if reading.shape else ""
    held = "" if recipe.model.quantization == "none" else f", held in {recipe.model.quantization}"
    return name + size + held


def _parameters(count: int) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.1f} billion"
    return f"{count / 1e6:.0f} million" if count >= 1e6 else f"{count:,}"


def _data(recipe: Recipe) -> str:
    name = "Starter data" if recipe.data.source == "starter" else recipe.data.source
    kept = recipe.data.eval_fraction
    return name + (f", {kept:.0%} held out" if kept else ", nothing held out")


def _adapter(recipe: Recipe, reading: Reading) -> str:
    count = reading.count
    trainable = f"{count.trainable:,} trainable ({count.percent:.2f} %)" if count else ""
    adapter = recipe.adapter
    if adapter.trains_base:
        return f"None: every weight is trained, {trainable}".rstrip(", ")
    name = describe(adapter)
    if kind_of(adapter.method).sits_inside:
        targets = adapter.targets
        where = TARGETS.get(targets, targets) if isinstance(targets, str) else ", ".join(targets)
        name += f" on {where}"
    return ", ".join(filter(None, [name, trainable]))


def _batch(recipe: Recipe) -> str:
    training = recipe.training
    words = method_words(training.method)
    total = f"{training.effective_batch_size} {words.examples} a step"
    if words.is_rewarded:
        total += f", {recipe.reinforcement.generations} to each prompt"
    if training.gradient_accumulation == 1:
        return total
    return f"{total} ({training.batch_size} at once, {training.gradient_accumulation} times)"


def _rate(recipe: Recipe) -> str:
    usual = " (usual)" if recipe.training.learning_rate is None else ""
    return f"{recipe.learning_rate:g}{usual}"


def _length(recipe: Recipe) -> str:
    training = recipe.training
    if training.max_steps:
        return f"{training.max_steps:,} steps"
    return "1 epoch" if training.epochs == 1 else f"{training.epochs:g} epochs"
