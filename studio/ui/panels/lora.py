"""Tab LoRA: the kind of adapter, its size and where it sits, beside what it costs.

Layout and presets; what the cost's card shows is in `lora_view.py`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.adapters.kinds import KINDS
from studio.presets import apply_preset, preset_names
from studio.recipe import Recipe
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels.lora_view import preset_view, view
from studio.ui.reading import Reading
from studio.ui.shared import PRIVATE, Shared, recipe_of
from studio.ui.widgets import Suggestions, build_box, build_cards, build_fields, keys_of

if TYPE_CHECKING:
    from studio.ui.studio import Studio

KEY = "adapter.method"


def build(studio: Studio, shared: Shared) -> None:
    """Presets on top, the fields on the left, what they cost on the right."""
    with gr.Row(elem_classes="presets", equal_height=True):
        buttons = {name: _preset_card(shared, name) for name in preset_names()}
    with gr.Row():
        with gr.Column(scale=5, min_width=380), gr.Group(elem_classes="card"):
            gr.HTML(markup.heading("Adapter", "What is trained beside the frozen base."))
            build_cards(shared, KEY, kind_cards())
            build_fields(shared, [key for key in keys_of("adapter", rare=False) if key != KEY])
            with gr.Accordion("Rarely needed", open=False, elem_id="lora-rare"):
                build_box(shared, "lora-rare", keys_of("adapter", rare=True))
        with gr.Column(scale=6, min_width=380), gr.Group(elem_classes="card"):
            gr.HTML(markup.heading("What it costs", "Exact, from the model's shape alone."))
            card = gr.HTML(view(Reading()), elem_id="lora-count", padding=False)
    shared.add_readout(card, view)
    shared.when_complete(lambda: _wire_presets(buttons, shared))


def kind_cards() -> Suggestions:
    """Each kind of adapter with its name and how it works."""
    return [(f"{kind.label}\n{kind.summary}", kind.name) for kind in KINDS.values()]


def _preset_card(shared: Shared, name: str) -> gr.Button:
    with gr.Column(min_width=220), gr.Group(elem_classes="card preset"):
        words = gr.HTML(preset_view(name, Recipe()), padding=False)
        shared.add_readout(words, lambda reading: preset_view(name, reading.recipe or Recipe()))
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
