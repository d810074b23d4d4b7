"""Merging whole models on the Export tab: a fold of its own, with the YAML that mergekit runs.

Layout and wiring; what happens is in `merge_models_page.py`, how it looks in
`merge_models_view.py`. The work runs as a task of the program: a page that is closed or reloaded
changes nothing. Mixing adapters is the Blend part of the Chat tab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.export.model_merge.methods import METHODS, USUAL_DENSITY, Mix
from studio.ui.guard import guarded
from studio.ui.panels import merge_models_page as page
from studio.ui.panels import merge_models_view as view
from studio.ui.panels.chat_sliders import sliders
from studio.ui.panels.mixing_view import way_choices, way_view
from studio.ui.presses import COPY_SCRIPT
from studio.ui.seen import NEVER, seen_by_page
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio

LEAST_WEIGHT, MOST_WEIGHT = -1.0, 2.0
FORM = ("models", "method", "base", "weights", "densities", "t", "seed", "dtype", "tokens", "name",
        "check", "replace")
_TYPED = "Or type a folder or a Hub id."


def build(studio: Studio, shared: Shared) -> None:
    """A fold below the list of exports."""
    with (gr.Group(elem_classes="card"),
          gr.Accordion("Merge whole models", open=False, elem_id="merge-models"),
          gr.Column(elem_classes="stack")):
        gr.HTML(view.ABOUT, padding=False)
        parts = {**_build_models(), **_build_numbers(), **_build_result(), **_build_making()}
    _wire(studio, shared, parts)


def _build_models() -> dict[str, Any]:
    usual = Mix().method
    with gr.Row(equal_height=False):
        models = gr.Dropdown(
            [], value=[], multiselect=True, max_choices=page.MOST_MODELS, allow_custom_value=True,
            label="Models to merge", elem_id="merge-models-chosen", scale=3, min_width=260,
            info=f"Two to {page.MOST_MODELS} of the same make. {_TYPED}")
        method = gr.Dropdown(way_choices(METHODS), value=usual, label="How", scale=2,
                             min_width=180, elem_id="merge-models-method",
                             info="The first fits nearly always.")
    about = gr.HTML(way_view(METHODS[usual]), elem_id="merge-models-about", padding=False)
    base = gr.Dropdown(
        [], value=None, allow_custom_value=True, visible=False, label="Base",
        elem_id="merge-models-base",
        info=f"The model that all of them were trained from. {_TYPED}")
    return {"models": models, "method": method, "about": about, "base": base}


def _build_numbers() -> dict[str, Any]:
    usual = Mix()
    weights = sliders("Weight", view.WEIGHTS_WORDS, lowest=LEAST_WEIGHT, highest=MOST_WEIGHT,
                      usual=page.USUAL_WEIGHT, elem_id="merge-models-weights")
    densities = sliders("Share kept", view.DENSITIES_WORDS, lowest=0.05, highest=1,
                        usual=USUAL_DENSITY, elem_id="merge-models-densities")
    t = gr.Slider(0, 1, usual.t, step=0.05, buttons=[], visible=False,
                  label="From the first to the second (t)", elem_id="merge-models-t",
                  info="0 is the first model, 1 the second.")
    return {"weights": weights, "densities": densities, "t": t}


def _build_result() -> dict[str, Any]:
    with gr.Row(equal_height=False):
        dtype = gr.Dropdown(view.DTYPE_CHOICES, value=view.DTYPE_CHOICES[0][1],
                            label="Number format", elem_id="merge-models-dtype", min_width=200,
                            info="Of what is written; it is computed in float32.")
        tokens = gr.Dropdown(view.TOKEN_CHOICES, value=Mix().tokens, label="Tokenizer",
                             elem_id="merge-models-tokens", min_width=200,
                             info="Counts only where the models know different tokens.")
        seed = gr.Number(Mix().seed, precision=0, minimum=0, label="Seed", visible=False,
                         elem_id="merge-models-seed", min_width=160,
                         info="Of what is dropped by chance.")
    return {"dtype": dtype, "tokens": tokens, "seed": seed}


def _build_making() -> dict[str, Any]:
    plan = gr.HTML(view.NOTHING, elem_id="merge-models-plan", padding=False)
    yaml = gr.HTML("", elem_id="merge-models-yaml", padding=False, js_on_load=COPY_SCRIPT)
    with gr.Row(equal_height=False, elem_classes="chat-tools"):
        name = gr.Textbox(label="Name", max_lines=1, elem_id="merge-models-name", scale=3,
                          placeholder=f"Empty: {page.USUAL_NAME}, {page.USUAL_NAME}-2, ...")
        make = gr.Button("Merge", variant="primary", scale=1, min_width=120,
                         elem_id="merge-models-make")
        stop = gr.Button("Stop", variant="stop", visible=False, scale=0, min_width=100,
                         elem_id="merge-models-stop")
    check = gr.Checkbox(True, label="Check it", elem_id="merge-models-check",
                        info="Loads what was written in plain transformers, and asks it.")
    replace = gr.Checkbox(False, visible=False, label="Replace what is there already",
                          elem_id="merge-models-replace")
    task = gr.HTML(elem_id="merge-models-task", padding=False)
    return {"plan": plan, "yaml": yaml, "name": name, "make": make, "stop": stop, "check": check,
            "replace": replace, "task": task}


def _wire(studio: Studio, shared: Shared, parts: dict[str, Any]) -> None:
    seen = seen_by_page()
    shown = [*(parts[name] for name in page.PARTS), seen]
    form = {name: parts[name] for name in FORM}
    planning: dict[str, Any] = {
        "fn": lambda **values: page.plan_views(studio, values), "inputs_kwargs": form,
        "outputs": [parts[name] for name in page.PLAN_PARTS], "trigger_mode": "always_last",
        **QUIET}

    def refresh(seen: dict[str, Any]) -> list[Any]:
        return page.page(studio, seen)

    def press(**values: Any) -> list[Any]:
        page.start(studio, values)
        return page.page(studio, NEVER)

    shared.send_along(form.values())
    shared.ticks.add(refresh, outputs=shown, named={"seen": seen})
    shared.demo.load(refresh, inputs_kwargs={"seen": seen}, outputs=shown, **QUIET)
    gr.on([parts["models"].change, parts["method"].change],
          lambda models, method: page.number_values(studio, models or [], method),
          [parts["models"], parts["method"]], [parts["weights"], parts["densities"]],
          trigger_mode="always_last", **QUIET)
    parts["method"].change(page.method_updates, parts["method"],
                           [parts[name] for name in page.METHOD_PARTS], **QUIET)
    moved = [parts["weights"].release, parts["densities"].release, parts["t"].release,
             parts["name"].blur, parts["name"].submit, parts["task"].change,
             *(parts[name].change for name in ("models", "method", "base", "seed", "dtype",
                                               "tokens"))]
    gr.on(moved, **planning)
    parts["make"].click(guarded(press), inputs_kwargs=form, outputs=shown, **QUIET)
    parts["stop"].click(lambda: studio.merging.stop(), None, None, **QUIET)
