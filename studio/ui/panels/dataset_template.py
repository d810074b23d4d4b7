"""How turns become text: the chat template with its reason, one's own Jinja, what was checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.data.templates import check_syntax, template_for, template_names
from studio.errors import DataError, StudioError
from studio.ui import markup
from studio.ui.data_look import Look
from studio.ui.guard import guarded
from studio.ui.panels.dataset_page import DataPage
from studio.ui.shared import DIRECT, PRIVATE, Shared, recipe_of
from studio.ui.widgets import build_fields

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.recipe import Data
    from studio.ui.studio import Studio

CHOICES = ("data.template", "data.loss_on", "data.max_length", "data.packing")
CUSTOM = "data.custom_template"


def build(studio: Studio, shared: Shared, page: DataPage) -> None:
    """The choices on the left; reason, own text, and checks on the right."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("How examples become tokens", "The record below follows."))
        with gr.Row():
            with gr.Column(scale=5, min_width=360):
                build_fields(shared, CHOICES)
            with gr.Column(scale=6, min_width=360):
                why = gr.HTML(elem_id="dataset-template-why", padding=False)
                checks = gr.HTML(elem_id="dataset-template-checks", padding=False)
                build_fields(shared, [CUSTOM])
                shared.fields[CUSTOM].visible = False
                mistake = gr.HTML(elem_id="dataset-template-error", padding=False)
                copy = gr.Button("Write my own, beginning with this one", size="sm",
                                 elem_id="dataset-template-copy", elem_classes="narrow")
    page.settled += [
        (shared.fields["data.template"], choices_update), (why, why_view), (checks, checks_view),
    ]
    shared.when_complete(lambda: _wire(studio, shared, page, (copy, mistake)))


def choices_update(look: Look) -> Any:
    """The names of the templates as a person reads them."""
    return gr.update(choices=[(label, name) for name, label, _ in template_names(look.tokenizer)])


def why_view(look: Look) -> str:
    """What speaks for the chosen template, and its text folded."""
    chosen = look.recipe.data.template
    why = next((why for name, _, why in template_names(look.tokenizer) if name == chosen), "")
    text = "" if chosen == "custom" else template_text(look.tokenizer, look.recipe.data)
    folded = (f"<details><summary>Its text</summary>{markup.preformatted(text)}</details>"
              if text else "")
    return f'<div class="template-why">{markup.note(why)}{folded}</div>'


def checks_view(look: Look) -> str:
    """What the report found wrong with the template; a broken text is told below it instead."""
    found = look.report.findings if look.report and look.is_new else ()
    return "".join(markup.note(f"{one.title}. {one.what}", one.hint, one.level) for one in found
                   if one.key.startswith("template_") and one.key != "template_invalid")


def template_text(tokenizer: PreTrainedTokenizerBase | None, data: Data) -> str:
    """The Jinja that a recipe means; "" without the model, or where it is broken."""
    if tokenizer is None:
        return ""
    try:
        return template_for(tokenizer, data)
    except DataError:
        return ""


def mistake_view(text: str) -> str:
    """Line and variable of what is wrong with one's own template; quiet where it can work."""
    if not text.strip():
        return ""
    try:
        check_syntax(text)
    except DataError as error:
        return markup.note(error.message, error.hint, "problem")
    return '<div class="quiet">Valid Jinja; the record below is rendered with it.</div>'


def _wire(studio: Studio, shared: Shared, page: DataPage, parts: tuple[Any, Any]) -> None:
    copy, mistake = parts
    template, custom = shared.fields["data.template"], shared.fields[CUSTOM]

    def show(template: str, text: str) -> list[Any]:
        is_custom = template == "custom"
        return [gr.update(visible=is_custom), gr.Button(visible=not is_custom),
                mistake_view(text) if is_custom else ""]

    @guarded
    def begin_with(template: str, **form: Any) -> Any:
        """One's own text begins with the model's, so that there is something to change."""
        if template != "custom" or str(form[CUSTOM] or "").strip():
            return gr.skip()
        return own_start(studio, {**form, "data.template": "auto"})

    @guarded
    def copy_text(**form: Any) -> list[Any]:
        return ["custom", own_start(studio, form)]

    template.change(show, [template, custom], [custom, copy, mistake], **DIRECT)
    custom.change(mistake_view, custom, mistake, trigger_mode="always_last", **DIRECT)
    page.recipe_changed(template.input(
        begin_with, inputs_kwargs={"template": template, **shared.form()}, outputs=custom,
        show_progress="hidden", **PRIVATE), shared)
    page.recipe_changed(copy.click(
        copy_text, inputs_kwargs=shared.form(), outputs=[template, custom],
        show_progress="hidden", **PRIVATE), shared)


def own_start(studio: Studio, form: dict[str, Any]) -> str:
    """What one's own template begins with. Raises StudioError where the form cannot be read."""
    studio.warm_up()
    recipe = recipe_of(form)
    text = template_text(studio.data.tokenizer(recipe), recipe.data)
    if not text:
        raise StudioError("The model is not on this PC yet, so its template is not known.",
                          "Get the model on the Hardware tab, or choose one by name first.")
    return text
