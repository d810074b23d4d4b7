"""Whether the data suits the method: a sentence where it does not, and a button for each that does.

Stands on the Dataset and on the Train tab. Goes by the first rows that were read; reads nothing.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.data.columns import columns_of, methods_for
from studio.recipe.base import STARTER
from studio.recipe.method_words import method_words
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels.dataset_found_view import format_words
from studio.ui.presses import press_script
from studio.ui.shared import PRIVATE, Shared, recipe_of

if TYPE_CHECKING:
    from studio.ui.reading import Reading
    from studio.ui.studio import Studio

CHOOSE_SCRIPT = press_script("method")
"""Runs in the browser: a press on a button takes that method."""


def build(studio: Studio, shared: Shared, elem_id: str) -> None:
    """The note, inside whatever card is open."""
    note = gr.HTML(elem_id=elem_id, padding=False, js_on_load=CHOOSE_SCRIPT)

    @guarded
    def take(event: gr.EventData, **form: Any) -> list[Any]:
        recipe = recipe_of(form).with_values(
            {"training.method": str(event.method), "training.learning_rate": None})
        return shared.updates_for(recipe)

    shared.add_readout(note, lambda reading: reading_view(studio, reading))
    shared.when_complete(lambda: shared.refresh_after(note.click(
        take, inputs_kwargs=shared.form(), outputs=shared.ordered(), show_progress="hidden",
        **PRIVATE)))


def reading_view(studio: Studio, reading: Reading) -> str:
    """Nothing where the data suits, or where its format is not known. The starter data follow the
    method."""
    recipe = reading.recipe
    if recipe is None or recipe.data.source == STARTER:
        return ""
    return view(recipe.training.method, studio.data.format_of(recipe))


def view(method: str, data_format: str | None) -> str:
    """What the data is, what the method learns from, and the methods that learn from the data."""
    if data_format is None or data_format in columns_of(method).formats:
        return ""
    words = method_words(method)
    sentence = (f"The data is read as “{format_words(data_format)}”, but the method {words.label} "
                f"learns from {columns_of(method).needs}.")
    fitting = methods_for(data_format)
    if not fitting:
        return markup.note(sentence, "Choose other data on the Dataset tab.", "problem")
    buttons = "".join(
        f'<button type="button" class="remedy" data-method="{escape(name)}" '
        f'title="{escape(method_words(name).summary)}">{escape(method_words(name).label)}</button>'
        for name in fitting)
    return (markup.note(sentence, "Choose other data, or a method that learns from these:",
                        "problem") + f'<div class="method-choices">{buttons}</div>')
