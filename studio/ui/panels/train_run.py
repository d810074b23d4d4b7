"""The Run sub-tab of the Train tab: one run as it goes, and what can be asked of it.

Wiring and handlers; what is shown is in `train_view.py`. The run itself belongs to the program, not
to a page: every page reads the same run folder.
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
from studio.ui.panels import train_view
from studio.ui.shared import PRIVATE, QUIET, Shared

if TYPE_CHECKING:
    from studio.hardware.telemetry import Sample
    from studio.story import Story
    from studio.ui.studio import Studio

REDRAWN_EVERY = 10
"""Samples between two drawings of the load while a run is at work."""
RESUMABLE = ("paused", "stopped", "interrupted", "failed")
Seen = dict[str, Any]
Part = tuple[Any, Callable[[], Any]]
PARTS = ("status", "plot", "telemetry", "log", "load", "load_box", "stop", "resume", "recipe",
         "recipe_box")


@dataclass(frozen=True)
class Snapshot:
    """All that the sub-tab shows at one moment. `active` names the run at work, or is empty."""

    story: Story | None
    recipe_yaml: str
    active: str
    can_resume: bool
    sample: Sample | None
    recorded: Sequence[Sample] = ()


@dataclass(frozen=True)
class RunPart:
    """What shows a run: the components, and `refresh(chosen, seen)` that gives their updates."""

    shown: list[Any]
    refresh: Callable[[str, Seen], list[Any]]


def build(studio: Studio, shared: Shared, chosen: gr.State) -> RunPart:
    """The run that is shown, from its state to its recipe. `chosen` names it, or is empty."""
    with gr.Group(elem_classes="card"):
        views = {**_build_state(), **_build_course(), **_build_recipe()}
    return _wire(studio, shared, chosen, views)


def _build_state() -> dict[str, Any]:
    status = gr.HTML(train_view.status_view(None), elem_id="train-status")
    with gr.Row(elem_classes="run-buttons"):
        stop = gr.Button("Stop", variant="stop", size="sm", visible=False, elem_id="train-stop")
        resume = gr.Button("Resume", size="sm", visible=False, elem_id="train-resume")
    return {"status": status, "stop": stop, "resume": resume}


def _build_course() -> dict[str, Any]:
    parts: dict[str, Any] = {
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
    return parts


def _build_recipe() -> dict[str, Any]:
    with (gr.Accordion("Recipe of this run", open=False, visible=False,
                       elem_id="train-recipe-box") as box,
          gr.Column(elem_classes="stack")):
        recipe = gr.HTML(elem_id="train-recipe", padding=False)
        reuse = gr.Button("Start from this one", size="sm", elem_id="train-reuse")
    return {"recipe": recipe, "reuse": reuse, "recipe_box": box}


def _wire(
    studio: Studio, shared: Shared, chosen: gr.State, views: dict[str, Any]
) -> RunPart:
    seen = gr.State({})
    shown = [*(views[part] for part in PARTS), seen]

    def refresh(chosen: str, seen: Seen) -> list[Any]:
        return page(look(studio, chosen), seen)

    def stop_run(chosen: str) -> list[Any]:
        studio.jobs.stop()
        return refresh(chosen, {})

    def resume_run(chosen: str) -> list[Any]:
        run = studio.run_to_show(chosen)
        if run is not None:
            studio.jobs.resume(run.name)
        return refresh(chosen, {})

    def reuse_recipe(chosen: str) -> list[Any]:
        run = studio.run_to_show(chosen)
        return shared.updates_for(run.recipe) if run else [gr.skip()] * len(shared.ordered())

    shared.ticks.add(refresh, [chosen, seen], shown)
    shared.demo.load(refresh, [chosen, seen], shown, **QUIET)
    views["stop"].click(guarded(stop_run), [chosen], shown, **QUIET)
    views["resume"].click(guarded(resume_run), [chosen], shown, **PRIVATE)
    shared.when_complete(lambda: shared.refresh_after(
        views["reuse"].click(guarded(reuse_recipe), [chosen], shared.ordered(), **QUIET)))
    return RunPart(shown, refresh)


def look(studio: Studio, chosen: str) -> Snapshot:
    """Read the run that is shown and the machine as they are now."""
    run = studio.run_to_show(chosen)
    story = run.story() if run else None
    active = studio.jobs.active
    can_resume = (
        story is not None and active is None and story.state in RESUMABLE
        and (story.total_steps == 0 or story.step < story.total_steps)
    )
    return Snapshot(story, _recipe_text(run), active.name if active else "", can_resume,
                    studio.sampler.sample(), studio.recordings.of(run))


def _recipe_text(run: Run | None) -> str:
    try:
        return recipe_to_yaml(run.recipe) if run else ""
    except RecipeError as error:
        return str(error)


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
    is_at_work = bool(now.active) and now.active == name
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
        "stop": (is_at_work, lambda: gr.Button(visible=is_at_work)),
        "resume": (now.can_resume, lambda: gr.Button(visible=now.can_resume)),
        "recipe": (now.recipe_yaml, lambda: markup.preformatted(now.recipe_yaml)),
        "recipe_box": (bool(story), lambda: gr.Accordion(visible=bool(story))),
    }


def _drawn(now: Snapshot) -> int:
    """How many samples the chart of the load shows: all at the end, on the way in steps, since a
    chart that is redrawn every second takes the cores of training."""
    count = len(now.recorded)
    is_active = now.story is not None and now.story.is_active
    return count - count % REDRAWN_EVERY if is_active and count > REDRAWN_EVERY else count
