"""A slider for each adapter of a choice: how strong it answers, how much of it goes into a blend.

A number is kept by the page under its adapter's value, so that it stays while others come and go,
and travels with whatever event asks for it. What it means is for those who ask.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

STEP = 0.05
_TEMPLATE = '<p class="quiet sliders-words" hidden>WORDS</p><div class="adapter-sliders"></div>'
"""Drawn once; what the script puts inside stays while it is moved."""
_SCRIPT = """
const box = element.querySelector('.adapter-sliders');
const chosen = {};
let drawn = null;
function row(one) {
    const line = document.createElement('label');
    line.className = 'adapter-slider';
    line.dataset.column = one.value;
    const name = document.createElement('span');
    name.className = 'adapter-slider-name';
    name.textContent = one.name;
    const slider = document.createElement('input');
    Object.assign(slider, {type: 'range', min: LOWEST, max: HIGHEST, step: STEP,
                           value: chosen[one.value] ?? USUAL, disabled: Boolean(one.why)});
    slider.setAttribute('aria-label', 'WHAT of ' + one.name);
    const number = document.createElement('output');
    const why = document.createElement('span');
    why.className = 'quiet';
    why.textContent = one.why;
    const show = () => { number.textContent = Number(slider.value).toFixed(2); };
    slider.addEventListener('input', () => {
        chosen[one.value] = Number(slider.value);
        show();
        tell();
    });
    slider.addEventListener('dblclick', () => {
        slider.value = USUAL;
        slider.dispatchEvent(new Event('input'));
        slider.dispatchEvent(new Event('change'));
    });
    slider.addEventListener('change', () => trigger('release'));
    show();
    line.append(name, slider, number, why);
    return line;
}
function tell() { props.value = {...props.value, chosen: {...chosen}}; }
function draw() {
    const rows = props.value?.rows ?? [];
    for (const [value, number] of Object.entries(props.value?.begin ?? {})) {
        chosen[value] ??= number;
    }
    if (JSON.stringify(rows) === drawn) { return; }
    drawn = JSON.stringify(rows);
    element.querySelector('.sliders-words').hidden = !rows.length;
    box.replaceChildren(...rows.map(row));
    tell();
}
watch('value', draw);
draw();
"""


@dataclass(frozen=True)
class SliderRow:
    """An adapter's value and name. `why` is why it cannot be moved; empty if it can."""

    value: str
    name: str
    why: str = ""


def sliders(what: str, words: str, *, lowest: float, highest: float, usual: float,
            elem_id: str) -> gr.HTML:
    """The component: no slider at first. A `release` is told to the server, where anyone listens.
    """
    script = _SCRIPT.replace("WHAT", what)
    for word, number in ("LOWEST", lowest), ("HIGHEST", highest), ("STEP", STEP), ("USUAL", usual):
        script = script.replace(word, f"{number:g}")
    return gr.HTML(sliders_value([]), html_template=_TEMPLATE.replace("WORDS", escape(words)),
                   js_on_load=script, elem_id=elem_id, apply_default_css=False)


def sliders_value(rows: Sequence[SliderRow],
                  begin: Mapping[str, float] | None = None) -> dict[str, Any]:
    """What the component's value is for these adapters. `begin` is where those begin that nobody
    has moved on this page, by value."""
    shown = [{"value": one.value, "name": one.name, "why": one.why} for one in rows]
    return {"rows": shown, **({"begin": dict(begin)} if begin else {})}


def chosen_numbers(sent: Any) -> dict[str, float]:
    """What the page sent for the component, by an adapter's value; those never moved are not in
    it. Anything else counts for nothing, and the limits are for those who ask."""
    found: dict[str, float] = {}
    for name in ("begin", "chosen"):
        numbers = sent.get(name) if isinstance(sent, Mapping) else None
        if isinstance(numbers, Mapping):
            found |= {str(value): float(number) for value, number in numbers.items()
                      if isinstance(number, int | float) and math.isfinite(number)}
    return found
