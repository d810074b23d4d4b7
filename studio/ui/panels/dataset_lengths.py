"""How long the examples are, the languages, the advice, and the question before all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui import markup
from studio.ui.charts_data import HEIGHT_PIXELS, language_bar, lengths_figure
from studio.ui.data_look import Look
from studio.ui.guard import guarded
from studio.ui.live_plot import figure_value, live_plot
from studio.ui.panels import dataset_advice_view as advice_view
from studio.ui.panels.dataset_found_view import length_tiles
from studio.ui.panels.dataset_page import DataPage
from studio.ui.shared import PRIVATE, Shared, recipe_of

if TYPE_CHECKING:
    from studio.ui.studio import Studio


def build(studio: Studio, shared: Shared, page: DataPage) -> None:
    """Lengths on the left, advice on the right."""
    with gr.Row():
        with gr.Column(scale=6, min_width=440), gr.Group(elem_classes="card"):
            gr.HTML(markup.heading("How long the examples are", "In tokens. What lies behind the "
                                   "line is cut and never learned."))
            plot = live_plot(height_pixels=HEIGHT_PIXELS, elem_id="dataset-lengths",
                             empty_text="Lengths appear when all records were read.")
            tiles = gr.HTML(elem_id="dataset-length-tiles", padding=False)
            languages = gr.HTML(elem_id="dataset-languages", padding=False)
        with gr.Column(scale=5, min_width=360), gr.Group(elem_classes="card"):
            gr.HTML(markup.heading("Advice", "From these records and the settings of this page."))
            advice = gr.HTML(elem_id="dataset-advice", padding=False,
                             js_on_load=advice_view.APPLY_SCRIPT)
            with gr.Accordion("Should this be a fine-tune at all?", open=False,
                              elem_id="dataset-checklist"):
                gr.HTML(_checklist(), padding=False)
    page.settled += [(plot, _figure), (tiles, _tiles), (languages, _languages), (advice, _advice)]
    shared.when_complete(lambda: _wire(studio, shared, page, advice))


def _checklist() -> str:
    from studio.data.advice import CHECKLIST

    return advice_view.checklist_view(CHECKLIST)


def _figure(look: Look) -> Any:
    if look.report is None:
        return ""
    if not look.is_new:  # drawn anew when the counts for the new maximum length are there
        return gr.skip()
    return figure_value(lengths_figure(look.report.statistics, look.recipe.data.max_length,
                                       look.report.fingerprint))


def _tiles(look: Look) -> str:
    return length_tiles(look.report.statistics) if look.report else ""


def _languages(look: Look) -> str:
    return language_bar(look.report.languages) if look.report else ""


def _advice(look: Look) -> str:
    if look.report is None or not look.report.statistics.examples:
        return markup.empty("Not yet", "Advice follows when examples were found.")
    return advice_view.advice_view(look.report.advice)


def _wire(studio: Studio, shared: Shared, page: DataPage, advice: gr.HTML) -> None:
    @guarded
    def apply(event: gr.EventData, key: str, **form: Any) -> Any:
        look = studio.data.look(key)
        found = look.report.advice if look and look.report else ()
        changes = next((one.changes for one in found if one.about == str(event.about)), {})
        if not changes:
            return gr.skip()
        return shared.updates_for(recipe_of(form).with_values(changes))

    page.recipe_changed(advice.click(
        apply, inputs_kwargs={"key": page.following, **shared.form()}, outputs=shared.ordered(),
        show_progress="hidden", **PRIVATE), shared)
