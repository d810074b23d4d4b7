"""The Train tab: settings of the training, what will run, Start and Stop, and the run as it goes.

Wiring and handlers only; what is shown of a run is in `train_view.py`. The run itself belongs to
the program, not to a page: every page reads the same run folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import RecipeError
from studio.recipe import recipe_to_yaml
from studio.runs import Run
from studio.ui import charts, charts_telemetry, markup
from studio.ui.guard import guarded
from studio.ui.live_plot import figure_value, live_plot
from studio.ui.panels import before_start, train_view
from studio.ui.panels.train_summary import summary_view
from studio.ui.shared import PRIVATE, QUIET, Shared, recipe_of
from studio.ui.widgets import build_fields, keys_of

if TYPE_CHECKING:
    from studio.hardware.telemetry import Sample
    from studio.story import Story
    from studio.ui.shelf import RunRow
    from studio.ui.studio import Studio

REDRAWN_EVERY = 10
"""Samples between two drawings of the load while a run is at work."""
RESUMABLE = ("stopped", "interrupted", "failed")
Seen = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """All that the tab shows at one moment. `active` names the run at work, or is empty."""

    story: Story | None
    recipe_yaml: str
    rows: tuple[RunRow, ...]
    active: str
    can_resume: bool
    sample: Sample | None
    recorded: Sequence[Sample] = ()


def build(studio: Studio, shared: Shared) -> None:
    """Lay out the tab and wire it. The settings come first in the source, right in the page."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=330):
            controls = _build_controls(studio, shared)
        with gr.Column(scale=3, min_width=480):
            views = _build_views()
    _wire(studio, shared, controls, views)


def _build_controls(studio: Studio, shared: Shared) -> dict[str, Any]:
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("What will run", "From the settings of all tabs."))
        summary = gr.HTML(summary_view(None), elem_id="train-summary", padding=False)
        before_start.build(studio, shared)
        name = gr.Textbox(label="Run name", max_lines=1, elem_id="train-name",
                          placeholder="Empty: the method, the date, and the time")
        with gr.Row():
            start = gr.Button("Start", variant="primary", min_width=90, elem_id="train-start")
            stop = gr.Button("Stop", variant="stop", min_width=90, interactive=False,
                             elem_id="train-stop")
    shared.add_readout(summary, summary_view)
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Training settings"))
        build_fields(shared, keys_of("training", rare=False))
        with (gr.Accordion("More settings", open=False, elem_id="train-more"),
              gr.Column(elem_classes="stack")):
            build_fields(shared, keys_of("training", rare=True))
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Watch the run", "None of this changes what is learned."))
        build_fields(shared, keys_of("monitor", rare=False))
        with (gr.Accordion("More to watch", open=False, elem_id="train-monitor-more"),
              gr.Column(elem_classes="stack")):
            build_fields(shared, keys_of("monitor", rare=True))
    return {"name": name, "start": start, "stop": stop}


def _build_views() -> dict[str, Any]:
    """Components by the name of the part that they show."""
    with gr.Group(elem_classes="card"):
        parts = {
            "status": gr.HTML(train_view.status_view(None), elem_id="train-status"),
            "plot": live_plot(
                height_pixels=charts.HEIGHT_PIXELS, elem_id="train-plot",
                empty_text="The curve begins with the first step.",
            ),
            "telemetry": gr.HTML(elem_id="train-telemetry"),
            "log": gr.HTML(train_view.log_view(None), elem_id="train-log"),
        }
        with gr.Accordion("Load, memory and temperature", visible=False,
                          elem_id="train-load-box") as parts["load_box"]:
            parts["load"] = live_plot(
                height_pixels=charts_telemetry.HEIGHT_PIXELS, elem_id="train-load",
                empty_text="The first samples come with the first step.",
            )
        parts["resume"] = gr.Button("Resume this run", visible=False, elem_id="train-resume")
        with (gr.Accordion("Recipe of this run", open=False, visible=False,
                           elem_id="train-recipe-box") as recipe_box,
              gr.Column(elem_classes="stack")):
            parts["recipe"] = gr.HTML(elem_id="train-recipe", padding=False)
            parts["reuse"] = gr.Button("Use these settings", size="sm", elem_id="train-reuse")
        parts["recipe_box"] = recipe_box
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Runs", "Press a run to see its curve and its recipe."))
        parts["runs"] = gr.HTML(train_view.runs_view([]), elem_id="runs-table",
                                js_on_load=train_view.CHOOSE_SCRIPT)
    return parts


def _wire(
    studio: Studio, shared: Shared, controls: dict[str, Any], views: dict[str, Any]
) -> None:
    chosen = gr.State("")  # the run that the person opened; empty follows the newest
    seen = gr.State({})
    shown = [*(({**views, **controls})[part] for part in PARTS), seen]

    def refresh(chosen: str, seen: Seen) -> list[Any]:
        return page(look(studio, chosen), seen)

    def start_run(name: str | None, **form: Any) -> list[Any]:
        studio.jobs.start(recipe_of(form), (name or "").strip() or None)
        return ["", "", *refresh("", {})]

    def stop_run(chosen: str) -> list[Any]:
        studio.jobs.stop()
        return refresh(chosen, {})

    def resume_run(chosen: str) -> list[Any]:
        run = run_to_show(studio, chosen)
        if run is not None:
            studio.jobs.resume(run.name)
        return refresh(chosen, {})

    def choose_run(event: gr.EventData) -> list[Any]:
        name = studio.shelf.get(str(event.run)).name
        return [name, *refresh(name, {})]

    def reuse_recipe(chosen: str) -> list[Any]:
        run = run_to_show(studio, chosen)
        return shared.updates_for(run.recipe) if run else [gr.skip()] * len(shared.ordered())

    shared.ticks.add(refresh, [chosen, seen], shown)
    shared.demo.load(refresh, [chosen, seen], shown, **QUIET)
    controls["stop"].click(guarded(stop_run), [chosen], shown, **QUIET)
    views["resume"].click(guarded(resume_run), [chosen], shown, **PRIVATE)
    views["runs"].click(guarded(choose_run), None, [chosen, *shown], **QUIET)

    def with_whole_form() -> None:
        controls["start"].click(
            guarded(start_run), inputs_kwargs={"name": controls["name"], **shared.form()},
            outputs=[controls["name"], chosen, *shown], **PRIVATE,
        )
        shared.refresh_after(
            views["reuse"].click(guarded(reuse_recipe), [chosen], shared.ordered(), **QUIET))

    shared.when_complete(with_whole_form)


def run_to_show(studio: Studio, chosen: str) -> Run | None:
    """The run that was opened; else the one at work; else the newest."""
    active = studio.jobs.active
    runs = {run.name: run for run in studio.shelf.runs()}
    if chosen in runs:
        return runs[chosen]
    if active is not None and active.name in runs:
        return runs[active.name]
    return next(iter(runs.values()), None)


def look(studio: Studio, chosen: str) -> Snapshot:
    """Read the runs and the machine as they are now."""
    run = run_to_show(studio, chosen)
    story = run.story() if run else None
    active = studio.jobs.active
    can_resume = (
        story is not None and active is None and story.state in RESUMABLE
        and (story.total_steps == 0 or story.step < story.total_steps)
    )
    return Snapshot(
        story, _recipe_text(run), tuple(studio.shelf.rows()), active.name if active else "",
        can_resume, studio.sampler.sample(), studio.recordings.of(run),
    )


def _recipe_text(run: Run | None) -> str:
    try:
        return recipe_to_yaml(run.recipe) if run else ""
    except RecipeError as error:
        return str(error)


Part = tuple[Any, Callable[[], Any]]
PARTS = ("status", "plot", "telemetry", "log", "load", "load_box", "resume", "recipe",
         "recipe_box", "runs", "stop")


def page(now: Snapshot, seen: Seen) -> list[Any]:
    """One update for each of `PARTS` and for `seen`; what a page has seen already is skipped."""
    parts = view(now)
    keys = {name: key for name, (key, _) in parts.items()}
    updates = [gr.skip() if name in seen and seen[name] == keys[name] else parts[name][1]()
               for name in PARTS]
    return [*updates, gr.skip() if keys == seen else keys]


def view(now: Snapshot) -> dict[str, Part]:
    """For each part a key that changes when the part does, and its update, made only if needed."""
    story = now.story
    told = (story.name, story.version) if story else None
    name = story.name if story else ""
    telemetry = train_view.telemetry_view(now.sample)
    return {
        "status": (told, lambda: train_view.status_view(story)),
        "plot": (told, lambda: figure_value(
            charts.training_figure(story) if story and story.points else None)),
        "telemetry": (telemetry, lambda: telemetry),
        "log": (told, lambda: train_view.log_view(story)),
        "load": ((name, _drawn(now)), lambda: figure_value(
            charts_telemetry.telemetry_figure(now.recorded[:_drawn(now)], name))),
        "load_box": (_drawn(now) > 1, lambda: gr.Accordion(visible=_drawn(now) > 1)),
        "resume": (now.can_resume, lambda: gr.Button(visible=now.can_resume)),
        "recipe": (now.recipe_yaml, lambda: markup.preformatted(now.recipe_yaml)),
        "recipe_box": (bool(story), lambda: gr.Accordion(visible=bool(story))),
        "runs": ((name, now.rows), lambda: train_view.runs_view(list(now.rows), name)),
        "stop": (now.active, lambda: gr.Button(interactive=bool(now.active))),
    }


def _drawn(now: Snapshot) -> int:
    """How many samples the chart of the load shows: all at the end, on the way in steps, since a
    chart that is redrawn every second takes the cores of training."""
    count = len(now.recorded)
    is_active = now.story is not None and now.story.is_active
    return count - count % REDRAWN_EVERY if is_active and count > REDRAWN_EVERY else count
