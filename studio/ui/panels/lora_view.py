"""What the LoRA tab says of the adapter: counts, what the kind is for, a picture, the places.

Pure functions to escaped HTML.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from studio.adapters.kinds import kind_of, variants_of
from studio.adapters.words import trained_words
from studio.errors import StudioError
from studio.files import readable_bytes
from studio.presets import SUMMARIES, apply_preset
from studio.recipe import Recipe
from studio.recipe.method_words import method_words
from studio.ui import markup
from studio.ui.reading import Reading

if TYPE_CHECKING:
    from studio.adapters.kinds import Kind
    from studio.models.shape import ModelShape
    from studio.recipe import Adapter

SCALED = ("lora", "adalora")
"""Kinds that add B·A, scaled by alpha and the rank."""


def preset_view(name: str, recipe: Recipe) -> str:
    """What a preset is for, and what it would set for the method of `recipe`."""
    preset = apply_preset(name, recipe)
    training, wanted = preset.training, preset.reinforcement
    parts = [trained_words(preset), f"{preset.data.max_length:,} tokens",
             f"batch {training.batch_size} × {training.gradient_accumulation}"]
    if method_words(training.method).is_rewarded:
        parts.append(f"{wanted.generations} answers of {wanted.answer_tokens} tokens each")
    method = method_words(training.method).short
    return (markup.heading(name.capitalize(), SUMMARIES[name])
            + f'<p class="preset-values">For {escape(method)}: {escape(", ".join(parts))}.</p>')


def view(reading: Reading) -> str:
    """Count, percentage, size, effective scale, and a picture of W + B·A."""
    if reading.problem is not None:
        return markup.note(reading.problem.message, reading.problem.hint, "warning")
    if reading.count is None or reading.recipe is None or reading.shape is None:
        return markup.empty("Counting", "The first time takes a few seconds.")
    count, adapter = reading.count, reading.recipe.adapter
    numbers = [
        ("trainable", "trainable parameters", f"{count.trainable:,}"),
        ("percent", "of all parameters", f"{count.percent:.3g} %"),
        ("adapter_bytes", "on disk", readable_bytes(count.adapter_bytes)),
        *_memory(reading),
    ]
    if adapter.method in SCALED:
        numbers.append(("scale", scale_words(adapter), f"{effective_scale(adapter):.3g}"))
    kind = kind_of(adapter.method)
    picture = _picture(reading.shape, adapter) if adapter.method in SCALED else ""
    places = _where(reading) if kind.sits_inside else ""
    return markup.tiles(numbers) + _about(reading) + picture + places


def _about(reading: Reading) -> str:
    """What the kind is for and costs, what each variant of LoRA adds, and LoRA beside the rest."""
    assert reading.recipe
    adapter = reading.recipe.adapter
    kind = kind_of(adapter.method)
    rows = [("Good for", kind.good_for), ("Memory", kind.memory), ("On disk", kind.disk)]
    rows += [(one.label, f"{one.summary} {one.good_for} {one.memory}")
             for one in variants_of(adapter)]
    rows += [("When done", _afterwards(kind))]
    if adapter.method != "lora":
        rows.append(("Beside LoRA", _beside_lora(reading)))
    words = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    return f'<dl class="kind-words">{words}</dl>'


def _afterwards(kind: Kind) -> str:
    if kind.name == "none":
        return "The run leaves a model of its own, which needs no base."
    if kind.merges:
        return "Can be merged into the base, or stay a small file beside it."
    return "Stays a file beside the base; it cannot be merged into it."


def _memory(reading: Reading) -> list[tuple[str, str, str]]:
    if reading.estimate is None:
        return []
    return [("memory", "memory in training", readable_bytes(reading.estimate.total_bytes))]


def _beside_lora(reading: Reading) -> str:
    """What plain LoRA of the form's rank would train, leave on the disk, and need."""
    from studio.adapters.count import count_trainable
    from studio.hardware.memory import estimate

    assert reading.recipe and reading.shape and reading.count and reading.device
    lora = reading.recipe.with_values({"adapter.method": "lora"})
    try:
        other = count_trainable(lora, reading.shape)
        needed = estimate(lora, reading.shape, reading.device, free_bytes=reading.free_bytes,
                          examples=reading.examples)
    except StudioError as problem:
        return problem.message
    times = reading.count.trainable / max(other.trainable, 1)
    share = f"{times:,.3g} times as many" if times >= 1 else f"{times:.2%} of that"
    return (f"LoRA rank {lora.adapter.rank} would train {other.trainable:,} parameters, leave "
            f"{readable_bytes(other.adapter_bytes)} and need {readable_bytes(needed.total_bytes)} "
            f"of memory. This trains {share}.")


def effective_scale(adapter: Adapter) -> float:
    """What the update is multiplied with: alpha / rank, or alpha / sqrt(rank) with rsLoRA."""
    return adapter.alpha / (math.sqrt(adapter.rank) if adapter.use_rslora else adapter.rank)


def scale_words(adapter: Adapter) -> str:
    """How the scale comes about."""
    return "scale: alpha / √rank" if adapter.use_rslora else "scale: alpha / rank"


def _where(reading: Reading) -> str:
    from studio.adapters.count import target_parameters
    from studio.adapters.targets import targets_of

    assert reading.recipe and reading.shape
    adapter = reading.recipe.adapter
    rows = "".join(
        f"<tr><td><code>{escape(target.linear.name)}</code></td>"
        f"<td>{target.linear.inputs:,} → {target.linear.outputs:,}</td>"
        f'<td class="right">{target.linear.count:,}</td>'
        f'<td class="right">{target_parameters(target, adapter):,}</td></tr>'
        for target in targets_of(adapter, reading.shape)
    )
    return (
        '<table class="plain"><thead><tr><th>Target module</th><th>Inputs → outputs</th>'
        '<th class="right">Places</th><th class="right">Trained</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _picture(shape: ModelShape, adapter: Adapter) -> str:
    """The frozen square W and the two thin matrices, drawn to scale (never under 3 pixels)."""
    side, thin = 92, max(3.0, min(92.0, 92 * adapter.rank / max(shape.hidden, 1)))
    return (
        f'<div class="lora-picture"><svg width="260" height="{side + 4}" role="img" '
        f'aria-label="Frozen weight plus low-rank update">'
        f'<rect class="lora-frozen" x="1" y="2" width="{side}" height="{side}" rx="4"/>'
        f'<text x="{side / 2:.0f}" y="{side / 2 + 6:.0f}">W</text>'
        f'<text x="{side + 18}" y="{side / 2 + 6:.0f}" class="lora-plus">+</text>'
        f'<rect class="lora-thin" x="{side + 36}" y="2" width="{thin:.1f}" height="{side}" rx="1"/>'
        f'<rect class="lora-thin" x="{side + 44 + thin:.1f}" y="2" width="{side - thin / 2:.1f}" '
        f'height="{thin:.1f}" rx="1"/></svg>'
        f'<p>W is frozen, {shape.hidden:,} wide. B and A are trained: {adapter.rank} wide, drawn '
        f"to scale. After a merge nothing of them is left but a changed W.</p></div>"
    )
