"""The Export tab: choose what was trained, tick the formats, press once.

Layout and wiring. What a press does is in `export_page.py`, what is shown in `export_view.py`; the
list of what was written is in `export_shelf.py`, merging whole models in `merge_models.py`, sending
on in `export_hub.py`. The work belongs to the program (`studio/ui/export_desk.py`): a page that is
closed or reloaded changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.export.door import GROUPS, Group
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels import export_hub, export_shelf, export_view, merge_models
from studio.ui.panels.export_page import (
    CHOICE_PARTS,
    PLAN_PARTS,
    WORK_PARTS,
    choice_view,
    page,
    plan_views,
    start,
)
from studio.ui.seen import NEVER, seen_by_page
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio

ROWS: tuple[tuple[Group, ...], ...] = (("python", "share"), ("gguf",), ("gpu",), ("leave",))
"""The groups of formats as they stand beside and below one another."""
TICKED = {"python": ["merged"], "gguf": ["gguf:q8_0"]}
"""What a newcomer finds ticked: the whole model, and a file for every chat program."""


def build(studio: Studio, shared: Shared) -> None:
    """What to export and as what, the plan with the button, the work, the results."""
    parts: dict[str, Any] = {}
    with gr.Row(equal_height=False, elem_id="export-top"):
        with gr.Column(scale=7, min_width=420, elem_classes="stack"):
            _build_source(parts)
            _build_doors(parts)
        with gr.Column(scale=5, min_width=340, elem_classes="stack", elem_id="export-side"):
            _build_plan(parts)
    shelf = export_shelf.build()
    _wire(studio, shared, parts, shelf)
    export_shelf.wire(studio, shared, shelf)
    merge_models.build(studio, shared)
    export_hub.build(studio, shared)


def _build_source(parts: dict[str, Any]) -> None:
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("What to export"))
        with gr.Row():
            parts["source"] = gr.Dropdown(
                [], label="Run, checkpoint, or blend", elem_id="export-source", scale=3,
                min_width=240, allow_custom_value=True, info="Or type an adapter's folder.")
            parts["name"] = gr.Textbox(
                label="Name", max_lines=1, elem_id="export-name", scale=2, min_width=180,
                placeholder="The run's own", info="Begins the name of every file.")
        parts["about"] = gr.HTML(elem_id="export-about", padding=False)
        parts["dequantized"] = gr.Checkbox(
            False, label="Merge into the rounded base that it was trained over", visible=False,
            elem_id="export-dequantized",
            info="Nearer to what training saw; the base's own weights are more exact.")


def _build_doors(parts: dict[str, Any]) -> None:
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Formats", "Tick as many as you like: what they share is made "
                               "once."))
        for groups in ROWS:
            with gr.Row():
                for group in groups:
                    parts[group] = _build_group(group)
        parts["own_data"] = gr.Checkbox(
            False, label="Let the run's own data say which weights matter", visible=False,
            elem_id="export-own-data",
            info="Where a GGUF is rounded to 2 to 6 bits (importance matrix). Takes longer.")
        parts["tuned"] = gr.Checkbox(
            False, label="Tune the rounding of GPTQ and AWQ", visible=False,
            elem_id="export-tuned", info="Nearer to the model in training. Takes several times as "
            "long.")
        parts["closed"] = gr.HTML(elem_id="export-closed", padding=False)


def _build_group(group: Group) -> gr.CheckboxGroup:
    return gr.CheckboxGroup(
        [(f"{door.label}\n{door.purpose}", door.key) for door in export_view.doors_in(group)],
        value=TICKED.get(group, []), label=GROUPS[group], elem_id=f"export-{group}",
        elem_classes=["field", "choice-cards"], min_width=200)


def _build_plan(parts: dict[str, Any]) -> None:
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("What will be written"))
        parts["plan"] = gr.HTML(export_view.NOTHING_TRAINED, elem_id="export-plan", padding=False)
        parts["check"] = gr.Checkbox(
            True, label="Check each one", elem_id="export-check",
            info="Asks it the same as the model in training, and writes a report beside it.")
        parts["replace"] = gr.Checkbox(False, visible=False, elem_id="export-replace",
                                       label="Replace what is there already")
        with gr.Row():
            parts["start"] = gr.Button("Export", variant="primary", elem_id="export-start")
            parts["stop"] = gr.Button("Stop", variant="stop", visible=False, scale=0,
                                      min_width=110, elem_id="export-stop")
        parts["work"] = gr.HTML(elem_id="export-work", padding=False)


def _wire(studio: Studio, shared: Shared, parts: dict[str, Any],
          shelf: export_shelf.ShelfPart) -> None:
    seen = seen_by_page()
    shown = [*(parts[name] for name in WORK_PARTS), seen]
    looking = {"source": parts["source"], "seen": seen}
    chosen = {name: parts[name] for name in (
        "source", "name", *GROUPS, "dequantized", "own_data", "tuned", "check",
        "replace")}
    planning: dict[str, Any] = {
        "fn": lambda **values: plan_views(studio, values), "inputs_kwargs": chosen,
        "outputs": [parts[name] for name in PLAN_PARTS], "trigger_mode": "always_last", **QUIET}

    def refresh(source: str | None, seen: dict[str, Any]) -> list[Any]:
        return page(studio, source, seen)

    def press(**values: Any) -> list[Any]:
        start(studio, values)
        return page(studio, values["source"], NEVER)

    def stop(source: str | None) -> list[Any]:
        studio.exports.stop()
        return page(studio, source, NEVER)

    shared.ticks.add(refresh, outputs=shown, named=looking)
    shared.demo.load(refresh, inputs_kwargs=looking, outputs=shown, **QUIET)
    parts["start"].click(guarded(press), inputs_kwargs=chosen, outputs=shown, **QUIET)
    parts["stop"].click(stop, [parts["source"]], shown, **QUIET)
    parts["source"].change(
        lambda **values: choice_view(studio, values), inputs_kwargs=chosen,
        outputs=[parts[name] for name in CHOICE_PARTS], trigger_mode="always_last", **QUIET,
    ).then(**planning)
    moved = [*(parts[group].input for group in GROUPS),
             parts["dequantized"].input, parts["tuned"].input, parts["name"].blur,
             parts["name"].submit, shelf.rows.change]
    gr.on(moved, **planning)
