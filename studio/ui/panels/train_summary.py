"""What will run when Start is pressed, in words: pure, from a Reading of the form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.ui import markup

if TYPE_CHECKING:
    from studio.recipe import Recipe
    from studio.ui.reading import Reading

METHODS = {"lora": "LoRA"}
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
        ("Model", _model(recipe, reading)),
        ("Data", _data(recipe)),
        ("Adapter", _adapter(recipe, reading)),
        ("Batch", _batch(recipe)),
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
    if recipe.adapter.method == "none":
        return f"None: every weight is trained, {trainable}".rstrip(", ")
    targets = recipe.adapter.targets
    where = TARGETS.get(targets, targets) if isinstance(targets, str) else ", ".join(targets)
    name = METHODS.get(recipe.adapter.method, recipe.adapter.method)
    return ", ".join(filter(None, [f"{name} rank {recipe.adapter.rank} on {where}", trainable]))


def _batch(recipe: Recipe) -> str:
    training = recipe.training
    total = training.effective_batch_size
    if training.gradient_accumulation == 1:
        return f"{total} examples a step"
    return (f"{total} examples a step ({training.batch_size} at once, "
            f"{training.gradient_accumulation} times)")


def _length(recipe: Recipe) -> str:
    training = recipe.training
    if training.max_steps:
        return f"{training.max_steps:,} steps"
    return "1 epoch" if training.epochs == 1 else f"{training.epochs:g} epochs"
