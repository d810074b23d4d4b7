"""Shows only the fields that the method and the adapter use; the learning rate follows along.

A field that is not used keeps its place and its value and is hidden by a style sheet of one rule:
nothing is drawn anew, so no focus, no value and no scroll position is lost. The form's choices
decide, also while something else in it is not allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from studio.presets import starter_recipe
from studio.recipe import form_from_recipe, used_in_form
from studio.recipe.used import as_it_stands
from studio.recipe.usual import usual_values
from studio.ui.reading import Reading
from studio.ui.shared import DIRECT, RATE, Shared
from studio.ui.widgets import elem_id, field_update, fields_by_key, held

METHODS = ("training.method", "adapter.method")
"""What the usual learning rate depends on."""


def build() -> gr.HTML:
    """The style sheet. Outside the tabs, since it holds for all of them."""
    return gr.HTML(elem_id="used-fields", visible="hidden", padding=False)


def wire(sheet: gr.HTML, shared: Shared) -> None:
    """Keep it right: at once after a choice, and whenever the form is set by program."""
    def follow(**form: Any) -> str:
        return style(shared, form)

    def follow_method(program_rate: str, **form: Any) -> list[Any]:
        return [style(shared, form), *usual_updates(form, program_rate)]

    def wire_fields() -> None:
        opening = form_from_recipe(starter_recipe())
        sheet.value = style(shared, opening)
        shared.program_rate.value = held(RATE, opening[RATE])
        choices = [shared.fields[key].input for key, field in fields_by_key().items()
                   if field.kind in ("choice", "switch") and key not in METHODS]
        gr.on(choices, follow, inputs_kwargs=shared.form(), outputs=sheet,
              trigger_mode="always_last", **DIRECT)
        shared.refresh_after(gr.on(
            [shared.fields[key].input for key in METHODS], follow_method,
            inputs_kwargs={"program_rate": shared.program_rate, **shared.form()},
            outputs=[sheet, shared.program_rate, *(shared.fields[key] for key in _usual_keys())],
            trigger_mode="always_last", **DIRECT))

    shared.add_readout(sheet, lambda reading: _of(shared, reading))
    shared.when_complete(wire_fields)


def _of(shared: Shared, reading: Reading) -> str:
    return style(shared, reading.form or form_from_recipe(starter_recipe()))


def style(shared: Shared, form: Mapping[str, Any]) -> str:
    """A style sheet that hides what makes no difference to what `form` holds."""
    used = used_in_form(form)
    hidden = [elem_id(key) for key in shared.fields if key not in used]
    hidden += [elem_id(key, "mirror-") for key, _ in shared.mirrors if key not in used]
    hidden += [name for name, keys in shared.boxes.items() if used.isdisjoint(keys)]
    if not hidden:
        return ""
    names = ", ".join(f"#{name}" for name in hidden)
    return f"<style>{names} {{ display: none !important }}</style>"


def _usual_keys() -> list[str]:
    return list(usual_values(starter_recipe()))


def usual_updates(form: Mapping[str, Any], program_rate: str) -> list[Any]:
    """The learning rate that was set by program, and what empty boxes stand for. One that nobody
    typed was for another method or adapter: it goes back to what is usual."""
    untyped = form.get(RATE) == program_rate
    usual = usual_values(as_it_stands(form))
    return ["" if untyped else gr.skip(), *(
        field_update(key, "", words) if key == RATE and untyped
        else gr.update(placeholder=words) for key, words in usual.items())]
