"""A control for every field of the recipe: label, help, range and choices come from the recipe.

`build_fields` draws them where it is called and adds them to `shared.fields`. Nothing here knows
what a field means; a recipe field added later gets its control by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import gradio as gr
from gradio.components import Component

from studio.presets import starter_recipe
from studio.recipe import FormField, form_fields, form_from_recipe
from studio.recipe.usual import usual_values
from studio.ui.shared import Shared

Suggestions = list[tuple[str, str]]
"""(what is shown, value) pairs. Shown as a card, the first line is its title."""

LINES_SHOWN = {"lines": 12, "weights": 2, "texts": 3}
"""Rows of a box for several lines, by kind of field."""

NUMBERS = {"whole", "number"}
FEW_CHOICES = 4
"""Up to so many choices are shown side by side; more go into a list."""


@functools.cache
def fields_by_key() -> dict[str, FormField]:
    """Every field of the recipe by its dotted key."""
    return {field.key: field for field in form_fields()}


@functools.cache
def _opening_values() -> dict[str, Any]:
    return form_from_recipe(starter_recipe())


def elem_id(key: str, prefix: str = "field-") -> str:
    """The stable element id of a field: adapter.rank -> field-adapter-rank."""
    return prefix + key.replace(".", "-").replace("_", "-")


def keys_of(section: str, *, rare: bool | None = None) -> list[str]:
    """The keys of a section in order; only the rare or the common ones if asked."""
    return [field.key for field in form_fields(section) if rare in (None, field.rare)]


def build_fields(
    shared: Shared, keys: Iterable[str], suggestions: dict[str, Suggestions] | None = None
) -> dict[str, Component]:
    """Draw a control for each key, in order, and enter it in `shared.fields`.

    `suggestions` turn a text field into a list that also takes what is not in it.
    """
    built = {}
    for key in keys:
        built[key] = shared.fields[key] = build_field(key, (suggestions or {}).get(key))
    return built


def build_box(shared: Shared, name: str, keys: list[str]) -> dict[str, Component]:
    """The same inside a card or a fold with the element id `name`, which goes away as a whole
    while none of these fields is used."""
    shared.boxes[name] = tuple(keys)
    return build_fields(shared, keys)


def build_cards(shared: Shared, key: str, cards: Suggestions) -> gr.Radio:
    """A choice drawn as cards, each with a title and what it is for, in place of the help."""
    common = {**_common(key, "field-"), "info": None, "elem_classes": ["field", "choice-cards"]}
    shared.fields[key] = built = gr.Radio(cards, **common)
    return built


def build_mirror(shared: Shared, key: str) -> Component:
    """A second control for a field that lives on another tab; each moves the other."""
    mirror = build_field(key, prefix="mirror-")
    shared.mirrors.append((key, mirror))

    def wire() -> None:
        copy: dict[str, Any] = {"js": "(value) => value", "api_visibility": "private"}
        real = shared.fields[key]
        real.input(None, real, mirror, **copy)
        shared.refresh_after(mirror.input(None, mirror, real, **copy))

    shared.when_complete(wire)
    return mirror


def build_field(
    key: str, suggestions: Suggestions | None = None, *, prefix: str = "field-"
) -> Component:
    """The control of one field, showing what the studio opens with."""
    common = _common(key, prefix)
    if suggestions:
        return gr.Dropdown(suggestions, allow_custom_value=True, **common)
    return _control(fields_by_key()[key], common)


def _common(key: str, prefix: str) -> dict[str, Any]:
    field = fields_by_key()[key]
    return {
        "label": field.label, "info": field.help, "value": held(key, _opening_values()[key]),
        "elem_id": elem_id(key, prefix), "elem_classes": ["field", f"field-{field.kind}"],
        "interactive": True,
    }


def held(key: str, value: Any) -> Any:
    """What a control holds for a form's value: a number that may be empty is text."""
    return f"{value:g}" if _may_be_empty(fields_by_key()[key]) and value != "" else value


def _may_be_empty(field: FormField) -> bool:
    return field.kind in NUMBERS and field.default is None


def _control(field: FormField, common: dict[str, Any]) -> Component:
    if field.kind == "switch":
        return gr.Checkbox(**common)
    if field.kind == "choice" and len(field.choices) <= FEW_CHOICES:
        # A choice of one is no choice: it is there for the recipe, and not shown.
        return gr.Radio(list(field.choices), visible=len(field.choices) > 1, **common)
    if field.kind == "choice":
        return gr.Dropdown(list(field.choices), **common)
    if field.kind == "names" and field.choices:
        return gr.Dropdown(list(field.choices), allow_custom_value=True, **common)
    if field.kind in NUMBERS:
        return _number(field, common)
    if field.kind in LINES_SHOWN:
        return gr.Textbox(lines=LINES_SHOWN[field.kind], max_lines=24, **common)
    return gr.Textbox(max_lines=1, **common)


def _number(field: FormField, common: dict[str, Any]) -> Component:
    whole = field.kind == "whole"
    if _may_be_empty(field):
        # A number box cannot be empty: gradio's sends 0 then.
        return gr.Textbox(max_lines=1, placeholder=usual_values(starter_recipe())[field.key],
                          **common)
    if not _is_slider(field):
        return gr.Number(precision=0 if whole else None, **common)
    low, high = slider_range(field, common["value"])
    return gr.Slider(low, high, step=field.step, precision=0 if whole else None, buttons=[],
                     **common)


def slider_range(field: FormField, value: float) -> tuple[float, float]:
    """Ends of a slider, widened where `value` lies outside.

    The lower end is a whole number of steps, since a browser counts steps from there: from 8 in
    steps of 64 nobody could reach 512.
    """
    step = field.step or 1
    lowest = field.minimum or 0
    if field.above_minimum or lowest % step:
        lowest = step
    return min(lowest, value), max(field.maximum or value, value)


def field_update(key: str, value: Any, placeholder: str | None = None) -> Any:
    """The update that makes the control of `key` show `value`; a slider is widened if needed.

    `placeholder` says what an empty one stands for.
    """
    field = fields_by_key()[key]
    if field.kind in NUMBERS and _is_slider(field):
        low, high = slider_range(field, value)
        return gr.Slider(minimum=low, maximum=high, value=value)
    told = {} if placeholder is None else {"placeholder": placeholder}
    return gr.update(value=held(key, value), **told)


def _is_slider(field: FormField) -> bool:
    return field.step is not None and field.maximum is not None
