"""The card of the memory: what it is planned for, the live estimate, and "Make it fit".

Wiring and handlers. A proposal holds for the settings it was made from: it goes away as soon as one
of them moves. What it shows is in `memory_plan_view.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.hardware.cards import THIS_PC, cards
from studio.ui import markup
from studio.ui.charts_memory import memory_card
from studio.ui.guard import guarded
from studio.ui.panels import simulate
from studio.ui.panels.memory_plan_view import proposal_view
from studio.ui.reading import Reading, read
from studio.ui.shared import PRIVATE, Shared, recipe_of

if TYPE_CHECKING:
    from studio.hardware.fit import Fit
    from studio.ui.studio import Studio

Values = dict[str, Any]


def build(studio: Studio, shared: Shared) -> None:
    """The chooser, the estimate, the button, and the proposal that it makes."""
    with gr.Group(elem_classes="card"):
        with gr.Row():
            gr.HTML(markup.heading("Memory it will take", "Moves with every setting. Point at a "
                                   "part, or tap it, to see how it is worked out."))
            shared.place = gr.Dropdown(
                [THIS_PC, *(card.name for card in cards())], value=THIS_PC, label="Planned for",
                elem_id="memory-place", scale=0, min_width=210, interactive=True)
        memory = gr.HTML(memory_card(Reading()), elem_id="memory-estimate", padding=False)
        with gr.Row(elem_classes="buttons"):
            button = gr.Button("Make it fit", elem_id="fit-propose", elem_classes="narrow",
                               size="sm", scale=0, min_width=200, interactive=False)
            check = simulate.build_button()
        proposal = gr.HTML(elem_id="fit-proposal", padding=False)
        apply = gr.Button("Apply these settings", variant="primary", elem_id="fit-apply",
                          elem_classes="narrow", size="sm", visible=False)
        simulate.build(studio, shared, check)
    shared.add_readout(memory, memory_card)
    shared.add_readout(button, _button)
    shared.add_readout(proposal, lambda reading: "", of_form=True)
    shared.add_readout(apply, lambda reading: gr.Button(visible=False), of_form=True)
    shared.when_complete(lambda: _wire(studio, shared, button, proposal, apply))


def _button(reading: Reading) -> gr.Button:
    """Pressed only where it does something: where the high end is more than what is free."""
    if reading.planned is None or reading.place is None:
        return gr.Button(interactive=False)
    fits = reading.planned.high_bytes <= reading.place.free_bytes
    return gr.Button("It fits, with headroom" if fits else "Make it fit", interactive=not fits,
                     variant="secondary" if fits else "primary")


def _wire(
    studio: Studio, shared: Shared, button: gr.Button, proposal: gr.HTML, apply: gr.Button
) -> None:
    proposed = gr.State({})

    @guarded
    def propose(place: str, **form: Any) -> tuple[Any, ...]:
        reading = read(studio, form, place)
        if reading.problem is not None:
            raise reading.problem
        return proposal_for(studio, reading)

    @guarded
    def take(proposed: Values, **form: Any) -> list[Any]:
        recipe = recipe_of(form).with_values(proposed)
        gr.Info("The settings are in place.", duration=4)
        return shared.updates_for(recipe)

    button.click(propose, inputs_kwargs=shared.reading_inputs(),
                 outputs=[proposal, apply, proposed], show_progress="hidden", **PRIVATE)
    shared.refresh_after(apply.click(
        take, inputs_kwargs={"proposed": proposed, **shared.form()}, outputs=shared.ordered(),
        show_progress="hidden", **PRIVATE))


def proposal_for(studio: Studio, reading: Reading) -> tuple[Any, ...]:
    """Updates of the proposal, of the button that takes it, and of the values it would set."""
    from studio.hardware.fit import make_fit, with_cut_share
    from studio.hardware.fit_advice import what_would_fit

    assert reading.recipe and reading.shape and reading.place
    place = reading.place
    found = make_fit(reading.recipe, reading.shape, place.device, place.free_bytes,
                     examples=reading.examples,
                     has_bitsandbytes=None if place.is_this_pc else True)
    found = with_cut_share(found, studio.data.cut_share)
    advice = what_would_fit(found, reading.shape, place)
    can_take = found.fits and bool(found.changes)
    return (proposal_view(found, advice), gr.Button(visible=can_take),
            _values(found) if can_take else {})


def _values(found: Fit) -> Values:
    return {key: new for change in found.changes for key, new in change.values.items()}
