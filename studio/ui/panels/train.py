"""The Train tab: settings and Start on the left; on the right the run, the queue, the comparison,
and below them all runs.

Layout, and what touches several parts: starting a run and opening one. Each part is a panel of its
own (`train_controls.py`, `train_run.py`, `queue_panel.py`, `compare.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui.guard import guarded
from studio.ui.panels import (
    compare,
    grid_box,
    queue_panel,
    run_about,
    runs_table,
    train_controls,
    train_rewarded,
    train_run,
    train_samples,
)
from studio.ui.seen import NEVER
from studio.ui.shared import QUIET, Shared, recipe_of

if TYPE_CHECKING:
    from studio.ui.panels.queue_panel import QueuePart
    from studio.ui.panels.runs_table import RunsTable
    from studio.ui.panels.train_controls import Controls
    from studio.ui.panels.train_run import RunPart
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
                    with gr.Group(elem_classes="card"):
                        run = train_run.build(studio, shared, chosen, controls.isolated)
                        run_about.build(studio, shared, chosen)
                    train_rewarded.build(studio, shared, chosen)
                    train_samples.build(studio, shared, chosen)
                with gr.Tab("Queue", id="queue", elem_id="train-part-queue"):
                    queue = queue_panel.build(studio, shared)
                with gr.Tab("Compare", id="compare", elem_id="train-part-compare"):
                    compare.build(studio, shared)
            runs = runs_table.build(studio, shared, chosen)
    _wire_runs(studio, chosen, runs, run, parts)
    _wire_start(studio, shared, chosen, controls, run, parts)
    _wire_add(studio, shared, controls, queue, parts)


def _wire_runs(
    studio: Studio, chosen: gr.State, runs: RunsTable, run: RunPart, parts: gr.Tabs
) -> None:
    def open_run(event: gr.EventData) -> list[Any]:
        name = studio.shelf.get(str(event.run)).name
        return [name, gr.Tabs(selected="run"), *run.refresh(name, NEVER)]

    runs.refresh_after(
        runs.html.click(guarded(open_run), None, [chosen, parts, *run.shown], **QUIET))


def _wire_start(
    studio: Studio, shared: Shared, chosen: gr.State, controls: Controls, run: RunPart,
    parts: gr.Tabs,
) -> None:
    def start_run(name: str | None, isolated: bool, **form: Any) -> list[Any]:
        studio.jobs.start(recipe_of(form), (name or "").strip() or None, isolated=isolated)
        return ["", "", gr.Tabs(selected="run"), *run.refresh("", NEVER)]

    def with_whole_form() -> None:
        controls.start.click(
            guarded(start_run), inputs_kwargs={
                "name": controls.name, "isolated": controls.isolated, **shared.form()},
            outputs=[controls.name, chosen, parts, *run.shown], **QUIET)

    shared.when_complete(with_whole_form)


def _wire_add(
    studio: Studio, shared: Shared, controls: Controls, queue: QueuePart, parts: gr.Tabs
) -> None:
    """Both ways into the queue: what is set now, and a grid around it."""

    def shown() -> list[Any]:
        return ["", gr.Tabs(selected="queue"), *queue.refresh(NEVER)]

    def add_run(name: str | None, isolated: bool, **form: Any) -> list[Any]:
        studio.queue.add(recipe_of(form), (name or "").strip() or None, isolated=isolated)
        return shown()

    def add_grid(
        name: str | None, isolated: bool, lines: str | None, **form: Any
    ) -> list[Any]:
        runs = grid_box.runs_of(studio, name or "", lines or "", recipe_of(form))
        studio.queue.add_all(runs, isolated=isolated)
        return shown()

    def with_whole_form() -> None:
        form = {"name": controls.name, "isolated": controls.isolated, **shared.form()}
        outputs = [controls.name, parts, *queue.shown]
        controls.add.click(guarded(add_run), inputs_kwargs=form, outputs=outputs, **QUIET)
        controls.grid.add.click(
            guarded(add_grid), inputs_kwargs={"lines": controls.grid.lines, **form},
            outputs=outputs, **QUIET)

    shared.when_complete(with_whole_form)
