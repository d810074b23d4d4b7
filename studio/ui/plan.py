"""The strip below the header: the recipe in one line, and the recipe as a file.

Shows on every tab what is about to be trained and whether it fits. Saving goes through the
browser (no file is left on this PC by the studio); opening reads what the browser sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.adapters.kinds import describe
from studio.errors import RecipeError
from studio.files import readable_bytes
from studio.recipe import recipe_to_yaml
from studio.recipe.method_words import method_words
from studio.recipe.yaml_io import parse_yaml
from studio.ui.guard import guarded
from studio.ui.reading import Reading
from studio.ui.shared import PRIVATE, Shared, recipe_of

if TYPE_CHECKING:
    from studio.ui.studio import Studio

SAVE_AS_FILE = """(text) => {
    if (!text) { return; }
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], {type: 'application/yaml'}));
    link.download = 'recipe.yaml';
    link.click();
    URL.revokeObjectURL(link.href);
}"""


@dataclass(frozen=True)
class Plan:
    """The strip's components. `text` never shows: it carries the YAML to the browser."""

    line: gr.HTML
    save_button: gr.Button
    open_button: gr.UploadButton
    text: gr.Textbox


def build() -> Plan:
    """Draw the strip."""
    with gr.Row(elem_id="plan", equal_height=True):
        line = gr.HTML(view(Reading()), elem_id="plan-line", padding=False)
        save = gr.Button("Save recipe", elem_id="recipe-save", size="sm", scale=0, min_width=110)
        load = gr.UploadButton("Open recipe", elem_id="recipe-open", size="sm", scale=0,
                               min_width=110, file_types=[".yaml", ".yml"], type="binary")
        text = gr.Textbox(visible=False)
    return Plan(line, save, load, text)


def wire(plan: Plan, studio: Studio, shared: Shared) -> None:
    """Follow the recipe, save it, open one."""
    shared.add_readout(plan.line, view)

    @guarded
    def as_yaml(**form: Any) -> str:
        return recipe_to_yaml(recipe_of(form))

    @guarded
    def open_recipe(content: bytes) -> list[Any]:
        recipe = parse_yaml(_decoded(content), "The recipe file")
        gr.Info("The recipe is open; every tab shows its values.", duration=4)
        return shared.updates_for(recipe)

    def events() -> None:
        plan.save_button.click(as_yaml, inputs_kwargs=shared.form(), outputs=plan.text,
                               show_progress="hidden", **PRIVATE).then(
            None, plan.text, js=SAVE_AS_FILE, api_visibility="private")
        opened = plan.open_button.upload(open_recipe, plan.open_button, shared.ordered(),
                                         show_progress="hidden", **PRIVATE)
        shared.refresh_after(opened)

    shared.when_complete(events)


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecipeError("The recipe file is not UTF-8 text.",
                          "Choose a recipe.yaml that a run has left.") from None


def view(reading: Reading) -> str:
    """The strip as HTML."""
    if reading.problem is not None:
        return (f'<div class="plan plan-problem" role="alert"><b>{escape(reading.problem.message)}'
                f"</b> <span>{escape(reading.problem.hint)}</span></div>")
    if reading.recipe is None or reading.shape is None:
        return '<div class="plan quiet">Working out what the recipe needs…</div>'
    return f'<div class="plan">{"".join(_chips(reading))}</div>'


def _chips(reading: Reading) -> list[str]:
    assert reading.recipe and reading.shape and reading.count and reading.estimate
    recipe, count, estimate = reading.recipe, reading.count, reading.estimate
    base = reading.shape.name
    if recipe.model.quantization != "none":
        base += f" in {recipe.model.quantization}"
    fits = estimate.high_bytes <= reading.free_bytes
    return [
        _chip("Base", base), _chip("Method", method_words(recipe.training.method).short),
        _chip("Trains", f"{describe(recipe.adapter)}, {count.trainable:,} parameters"),
        _chip("Batch", f"{recipe.training.batch_size} × {recipe.training.gradient_accumulation}"),
        _chip("Needs about", f"{readable_bytes(estimate.total_bytes)} of "
              f"{readable_bytes(reading.free_bytes)} free", "" if fits else " chip-tight"),
    ]


def _chip(name: str, value: str, extra: str = "") -> str:
    return (f'<span class="chip{extra}"><span class="chip-name">{escape(name)}</span> '
            f"{escape(value)}</span>")
