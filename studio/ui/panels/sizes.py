"""The card "What fits": usual model sizes by method; a press on a cell fills the form in.

Wiring and handlers; the table is drawn in `sizes_view.py` and worked out by the engine.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels.sizes_view import CHOOSE_SCRIPT, HEADERS, table_view
from studio.ui.shared import PRIVATE, QUIET, Shared, recipe_of

if TYPE_CHECKING:
    from studio.recipe import Recipe
    from studio.ui.studio import Studio


def build(studio: Studio, shared: Shared) -> None:
    """The table, which follows what the memory is planned for."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("What fits", "Usual models by method. Press a size to fill in the "
                               "form."))
        table = gr.HTML(
            markup.empty("Working out what fits", "The first time takes a few seconds."),
            elem_id="sizes-table", padding=False, js_on_load=CHOOSE_SCRIPT)
    shared.when_complete(lambda: _wire(studio, shared, table))


def _wire(studio: Studio, shared: Shared, table: gr.HTML) -> None:
    assert shared.place is not None

    @guarded
    def show(place: str) -> str:
        return table_for(studio, place)

    @guarded
    def fill_in(event: gr.EventData, place: str, **form: Any) -> list[Any]:
        recipe = filled_recipe(studio, place, str(event.source), str(event.method), form)
        gr.Info(f"The form now holds {html.escape(recipe.model.source)}: "
                f"{html.escape(HEADERS.get(str(event.method), ''))}.", duration=4)
        return shared.updates_for(recipe)

    # One event: a card chosen while the first table is worked out comes after it, not before.
    gr.on([shared.demo.load, shared.place.input], show, inputs_kwargs={"place": shared.place},
          outputs=table, trigger_mode="always_last", **QUIET)
    shared.refresh_after(table.click(
        fill_in, inputs_kwargs=shared.reading_inputs(), outputs=shared.ordered(),
        show_progress="hidden", **PRIVATE))


def table_for(studio: Studio, place: str) -> str:
    """The table for this PC or a card, as HTML. Waits for the libraries the first time."""
    studio.warm_up()
    from studio.hardware.cards import find_place
    from studio.hardware.what_fits import what_fits

    where = find_place(studio.settings, place)
    return table_view(what_fits(where), where)


def filled_recipe(
    studio: Studio, place: str, source: str, method: str, form: dict[str, Any]
) -> Recipe:
    """The form's recipe with what a cell of the table sets; what it does not name stays."""
    from studio.hardware.cards import find_place
    from studio.hardware.what_fits import what_fits

    cell = what_fits(find_place(studio.settings, place)).cell(source, method)
    return recipe_of(form).with_values(cell.values if cell else {})
