"""The Train tab: settings and Start on the left; on the right the run, the queue, the comparison,
and below them all runs.

Layout, and what touches several parts: starting a run and opening one. Each part is a panel of its
own (`train_controls.py`, `train_run.py`, `queue_panel.py`, `compare.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.runs import Run
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels import train_controls, train_run, train_view
from studio.ui.shared import PRIVATE, QUIET, Shared, recipe_of

if TYPE_CHECKING:
    from studio.ui.panels.train_controls import Controls
    from studio.ui.panels.train_run import RunPart
    from studio.ui.shelf import RunRow
    from studio.ui.studio import Studio


def build(studio: Studio, shared: Shared) -> None:
    """Lay out the tab and wire it."""
    chosen = gr.State("")  # the run that the person opened; empty follows the one at work
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=330):
            controls = train_controls.build(studio, shared)
        with gr.Column(scale=3, min_width=480):
            with gr.Tabs(selected="run", elem_id="train-parts") as parts:
                with gr.Tab("Run", id="run", elem_id="train-part-run"):
                    run = train_run.build(studio, shared, chosen)
                    # Panels that follow `chosen` come here.
                with gr.Tab("Queue", id="queue", elem_id="train-part-queue"):
                    gr.HTML(markup.empty("Nothing is waiting", "Add to the queue what shall run."))
                with gr.Tab("Compare", id="compare", elem_id="train-part-compare"):
                    gr.HTML(markup.empty("Nothing to compare", "Choose two runs or more."))
            runs = _build_runs()
    _wire_runs(studio, shared, chosen, runs, run, parts)
    _wire_start(studio, shared, chosen, controls, run, parts)


def _build_runs() -> gr.HTML:
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Runs", "Press a run to see its curve and its recipe."))
        return gr.HTML(train_view.runs_view([]), elem_id="runs-table",
                       js_on_load=train_view.CHOOSE_SCRIPT)


def _wire_runs(
    studio: Studio, shared: Shared, chosen: gr.State, runs: gr.HTML, run: RunPart, parts: gr.Tabs
) -> None:
    seen: gr.State = gr.State(())

    def refresh(chosen: str, seen: tuple[str, tuple[RunRow, ...]]) -> Any:
        shown = studio.run_to_show(chosen)
        name = shown.name if shown else ""
        rows = tuple(studio.shelf.rows())
        return gr.skip() if (name, rows) == seen else [
            train_view.runs_view(list(rows), name), (name, rows)]

    def open_run(event: gr.EventData) -> list[Any]:
        name = studio.shelf.get(str(event.run)).name
        rows = studio.shelf.rows()
        return [name, gr.Tabs(selected="run"), train_view.runs_view(rows, name),
                (name, tuple(rows)), *run.refresh(name, {})]

    shared.ticks.add(refresh, [chosen, seen], [runs, seen])
    shared.demo.load(refresh, [chosen, seen], [runs, seen], **QUIET)
    runs.click(guarded(open_run), None, [chosen, parts, runs, seen, *run.shown], **QUIET)


def _wire_start(
    studio: Studio, shared: Shared, chosen: gr.State, controls: Controls, run: RunPart,
    parts: gr.Tabs,
) -> None:
    def start_run(name: str | None, **form: Any) -> list[Any]:
        studio.jobs.start(recipe_of(form), (name or "").strip() or None)
        return ["", "", gr.Tabs(selected="run"), *run.refresh("", {})]

    def with_whole_form() -> None:
        controls.start.click(
            guarded(start_run), inputs_kwargs={"name": controls.name, **shared.form()},
            outputs=[controls.name, chosen, parts, *run.shown], **PRIVATE,
        )

    shared.when_complete(with_whole_form)


def run_to_show(studio: Studio, chosen: str) -> Run | None:
    """The run that was opened; else the one at work; else the newest."""
    return studio.run_to_show(chosen)
