"""Tab LoRA: how large the adapter is and where it sits, with its exact cost while sliders move.

Nothing is loaded: the count comes from the model's shape.
"""

from __future__ import annotations

import functools
import math
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.files import readable_bytes
from studio.presets import SUMMARIES, apply_preset, preset_names
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.reading import Reading
from studio.ui.shared import PRIVATE, Shared, recipe_of
from studio.ui.widgets import build_fields, keys_of

if TYPE_CHECKING:
    from studio.models.shape import ModelShape
    from studio.recipe import Adapter
    from studio.ui.studio import Studio


def build(studio: Studio, shared: Shared) -> None:
    """Presets on top, the fields on the left, what they cost on the right."""
    with gr.Row(elem_classes="presets", equal_height=True):
        buttons = {name: _preset_card(name) for name in preset_names()}
    with gr.Row():
        with gr.Column(scale=5, min_width=380), gr.Group(elem_classes="card"):
            gr.HTML(markup.heading("Adapter", "What is trained beside the frozen base."))
            build_fields(shared, keys_of("adapter", rare=False))
            with gr.Accordion("Rarely needed", open=False, elem_id="lora-rare"):
                build_fields(shared, keys_of("adapter", rare=True))
        with gr.Column(scale=6, min_width=380), gr.Group(elem_classes="card"):
            gr.HTML(markup.heading("What it costs", "Exact, from the model's shape alone."))
            card = gr.HTML(view(Reading()), elem_id="lora-count", padding=False)
    shared.add_readout(card, view)
    shared.when_complete(lambda: _wire_presets(buttons, shared))


def _preset_card(name: str) -> gr.Button:
    with gr.Column(min_width=220), gr.Group(elem_classes="card preset"):
        gr.HTML(markup.heading(name.capitalize(), SUMMARIES[name]))
        return gr.Button("Use these settings", size="sm",
                         elem_id=f"preset-{name.replace(' ', '-')}")


def _wire_presets(buttons: dict[str, gr.Button], shared: Shared) -> None:
    for name, button in buttons.items():
        chosen = button.click(functools.partial(use_preset, shared, name),
                              inputs_kwargs=shared.form(), outputs=shared.ordered(),
                              show_progress="hidden", **PRIVATE)
        shared.refresh_after(chosen)


@guarded
def use_preset(shared: Shared, name: str, **form: Any) -> list[Any]:
    """The form's updates after a preset; model and data stay."""
    recipe = apply_preset(name, recipe_of(form))
    gr.Info(f"Settings for {name} are in place.", duration=4)
    return shared.updates_for(recipe)


def view(reading: Reading) -> str:
    """Count, percentage, size, effective scale, and a picture of W + B·A."""
    if reading.problem is not None:
        return markup.note(reading.problem.message, reading.problem.hint, "warning")
    if reading.count is None or reading.recipe is None or reading.shape is None:
        return markup.empty("Counting", "The first time takes a few seconds.")
    count, adapter = reading.count, reading.recipe.adapter
    numbers = markup.tiles([
        ("trainable", "trainable parameters", f"{count.trainable:,}"),
        ("percent", "of all parameters", f"{count.percent:.3g} %"),
        ("adapter_bytes", "on disk", readable_bytes(count.adapter_bytes)),
        ("scale", scale_words(adapter), f"{effective_scale(adapter):.3g}"),
    ])
    if adapter.method == "none":
        return numbers + markup.note("Every weight of the base is trained; there is no adapter.")
    return numbers + _picture(reading.shape, adapter) + _where(reading)


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
        f'<td class="right">{target_parameters(target, use_dora=adapter.use_dora):,}</td></tr>'
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
