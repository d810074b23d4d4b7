"""The card of the dry run: two real steps measured beside the estimate, and the calibration.

Wiring and handlers. The work runs as a task of the program; a page that is closed or reloaded
changes nothing. What is shown is in `dry_run_view.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.progress import Progress, ShouldStop
from studio.recipe import Recipe
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels import dry_run_view
from studio.ui.seen import NEVER, seen_by_page, unless_seen
from studio.ui.shared import PRIVATE, QUIET, Shared, recipe_of

if TYPE_CHECKING:
    from studio.training.dry_run_result import DryRun
    from studio.ui.studio import Studio

TITLE = "Dry run"


def build(studio: Studio, shared: Shared) -> None:
    """The button, the work under way, what was measured, the calibration."""
    with gr.Group(elem_classes=["card", "dry-run"]):
        with gr.Row():
            gr.HTML(markup.heading(TITLE, "Two real steps on your longest examples, measured "
                                   "beside the estimate. Nothing is saved."))
            start = gr.Button("Dry run", size="sm", scale=0, min_width=110,
                              elem_id="dry-run-start")
            stop = gr.Button("Stop", size="sm", variant="stop", scale=0, min_width=110,
                             visible=False, elem_id="dry-run-stop")
        work = gr.HTML(elem_id="dry-run-work", padding=False, visible=False)
        result = gr.HTML(elem_id="dry-run-result", padding=False)
        with gr.Row():
            calibration = gr.HTML(elem_id="dry-run-calibration", padding=False)
            reset = gr.Button("Forget it", size="sm", scale=0, min_width=110, visible=False,
                              elem_id="dry-run-reset")
    shared.add_readout(calibration, dry_run_view.calibration_view)
    shared.add_readout(reset, lambda reading: gr.Button(
        visible=bool(reading.device and reading.device.calibration)))
    _wire(studio, shared, [start, stop, work, result], reset)


def _wire(studio: Studio, shared: Shared, views: list[Any], reset: gr.Button) -> None:
    start, stop, _, result = views
    seen = seen_by_page()
    shown = [*views, seen]

    def refresh(seen: Any) -> Any:
        return page(studio, seen)

    @guarded
    def begin(**form: Any) -> list[Any]:
        start_dry_run(studio, recipe_of(form))
        return page(studio, NEVER)

    @guarded
    def forget() -> None:
        from studio.hardware.calibration import reset_calibration

        reset_calibration(studio.settings)
        gr.Info("The estimate stands by itself again.", duration=4)

    shared.ticks.add(refresh, [seen], shown)
    shared.demo.load(refresh, [seen], shown, **QUIET)
    stop.click(lambda: studio.dry_runs.stop(), None, None, **QUIET)

    def with_whole_form() -> None:
        start.click(begin, inputs_kwargs=shared.form(), outputs=shown, **PRIVATE)
        # A new calibration moves every estimate on the page.
        shared.refresh_after(result.change(lambda: None, None, None, **QUIET))
        shared.refresh_after(reset.click(forget, None, None, **PRIVATE))

    shared.when_complete(with_whole_form)


def start_dry_run(studio: Studio, recipe: Recipe) -> None:
    """Begin a dry run in the background. Raises BusyError while the device is held."""
    def work(progress: Progress, stop: ShouldStop) -> DryRun:
        studio.warm_up()
        from studio.training.dry_run import dry_run

        return dry_run(recipe, studio.settings, progress=progress, stop=stop)

    studio.dry_runs.start(TITLE, work)


def page(studio: Studio, seen: Any) -> Any:
    """Updates for start, stop, work, result, and what was seen; nothing if all is known."""
    task = studio.dry_runs.snapshot()
    return unless_seen(task.version, seen, lambda: [
        gr.Button(visible=not task.is_active),
        gr.Button(visible=task.is_active, interactive=task.state == "running"),
        gr.HTML(dry_run_view.work_view(task), visible=task.is_active),
        gr.skip() if task.is_active else dry_run_view.result_view(task)])
