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
from studio.ui import charts, charts_measures, charts_telemetry, markup
from studio.ui.guard import guarded
from studio.ui.live_plot import figure_value, live_plot
from studio.ui.panels import run_controls, train_view
from studio.ui.panels.evaluations_view import evaluations_view
from studio.ui.panels.train_alarms_view import alarms_view
from studio.ui.seen import Part, fresh_updates, seen_by_page
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from studio.about import About
    from studio.hardware.telemetry import Sample
    from studio.story import Story
    from studio.ui.studio import Studio

REDRAWN_EVERY = 10
"""Samples between two drawings of the load while a run is at work."""
RESUMABLE = ("queued", "paused", "stopped", "interrupted", "failed")
Seen = dict[str, str]
PARTS = ("status", "trouble", "pause", "stop", "cancel", "resume", "requeue", "at_work", "confirm",
         "alarms", "plot", "measured_box", "measured", "telemetry", "log", "evaluations", "load",
         "load_box", "recipe", "recipe_box")
ASKS = ("", "pause", "stop", "cancel")
"""What can be asked of a run at work; each is stronger than the one before."""


@dataclass(frozen=True)
class Snapshot:
    """All that the sub-tab shows at one moment.

    `active` names the run at work in this program, or is empty; `trouble` is why the last one
    ended where its folder cannot tell; `cancelling` names the run whose cancel is being confirmed;
    `evaluations` is what tasks have measured, as HTML.
    """

    story: Story | None
    recipe_yaml: str
    sample: Sample | None
    recorded: Sequence[Sample] = ()
    active: str = ""
    waits: bool = False
    trouble: tuple[str, str] | None = None
    cancelling: str = ""
    evaluations: str = ""
    about: About | None = None

    @property
    def can_ask(self) -> tuple[str, ...]:
        """What can still be asked of the run that is shown."""
        if self.story is None or not self.story.is_active:
            return ()
        return ASKS[ASKS.index(self.story.asked) + 1:]

    @property
    def can_go_on(self) -> bool:
        """Whether something is left to train in the run that is shown, and nobody does."""
        story = self.story
        if story is None or story.state not in RESUMABLE:
            return False
        return story.total_steps == 0 or story.step < story.total_steps

    @property
    def can_resume(self) -> bool:
        """Whether it can go on right now."""
        return self.can_go_on and not self.active


@dataclass(frozen=True)
class RunPart:
    """What shows a run: the components, and `refresh(chosen, seen)` that gives their updates."""

    shown: list[Any]
    refresh: Callable[..., list[Any]]


def build(
    studio: Studio, shared: Shared, chosen: gr.State, isolated: gr.Checkbox
) -> RunPart:
    """Inside a card, the run that is shown from its state to its recipe. `chosen` names it, or is
    empty; `isolated` says whether a resumed one gets a process of its own."""
    views = {
        "trouble": gr.HTML(visible=False, elem_id="train-trouble", padding=False),
        "status": gr.HTML(train_view.status_view(None), elem_id="train-status"),
        **run_controls.build(isolated),
        "alarms": gr.HTML(visible=False, elem_id="train-alarms", padding=False),
        **_build_course(), **_build_recipe(),
    }
    return _wire(studio, shared, chosen, views)


def _build_course() -> dict[str, Any]:
    parts: dict[str, Any] = {
        "plot": live_plot(
            height_pixels=charts.HEIGHT_PIXELS, elem_id="train-plot",
            empty_text="The curve begins with the first step.",
        ),
        **_build_measured(),
        "telemetry": gr.HTML(elem_id="train-telemetry"),
        "log": gr.HTML(train_view.log_view(None), elem_id="train-log"),
    }
    parts["evaluations"] = gr.HTML(visible=False, elem_id="train-evaluations", padding=False)
    with gr.Accordion("Load, memory and temperature", open=False, visible=False,
                      elem_id="train-load-box") as parts["load_box"]:
        parts["load"] = live_plot(
            height_pixels=charts_telemetry.HEIGHT_PIXELS, elem_id="train-load",
            empty_text="The first samples come with the first step.",
        )
    return parts


def _build_measured() -> dict[str, Any]:
    """The second plot, of the methods that measure more than a loss."""
    with gr.Column(visible=False) as box:
        plot = live_plot(height_pixels=charts_measures.HEIGHT_PIXELS, empty_text="",
                         elem_id="train-measured")
    return {"measured_box": box, "measured": plot}


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
    seen = seen_by_page()
    cancelling = gr.State("")  # the run whose cancel the person is asked about
    shown = [*(views[part] for part in PARTS), seen]
    states = [chosen, seen, cancelling]

    def refresh(chosen: str, seen: Seen, cancelling: str = "") -> list[Any]:
        return page(look(studio, chosen, cancelling), seen)

    def reuse_recipe(chosen: str) -> list[Any]:
        run = studio.run_to_show(chosen)
        return shared.updates_for(run.recipe) if run else [gr.skip()] * len(shared.ordered())

    shared.ticks.add(refresh, states, shown)
    shared.demo.load(refresh, states, shown, **QUIET)
    run_controls.wire(studio, views, states, shown, refresh)
    shared.when_complete(lambda: shared.refresh_after(
        views["reuse"].click(guarded(reuse_recipe), [chosen], shared.ordered(), **QUIET)))
    return RunPart(shown, refresh)


def look(studio: Studio, chosen: str, cancelling: str = "") -> Snapshot:
    """Read the run that is shown and the machine as they are now."""
    run = studio.run_to_show(chosen)
    active, trouble = studio.jobs.active, studio.jobs.trouble
    waiting = [entry.name for entry in studio.queue.entries()]
    return Snapshot(
        run.story() if run else None, _recipe_text(run), studio.sampler.sample(),
        studio.recordings.of(run), active.name if active else "",
        run is not None and run.name in waiting,
        (trouble.message, trouble.hint) if trouble else None, cancelling,
        evaluations_view(run), run.about if run else None,
    )


def _recipe_text(run: Run | None) -> str:
    try:
        return recipe_to_yaml(run.recipe) if run else ""
    except RecipeError as error:
        return str(error)


def page(now: Snapshot, seen: Seen) -> list[Any]:
    """One update for each of `PARTS` and for `seen`; what a page has seen already is skipped."""
    return fresh_updates(view(now), PARTS, seen)


def view(now: Snapshot) -> dict[str, Part]:
    """For each part a key that changes when the part does, and its update, made only if needed."""
    story = now.story
    told = (story.name, story.version) if story else None
    name = story.name if story else ""
    telemetry = train_view.telemetry_view(now.sample)
    has_measures = bool(story and charts_measures.panels(story))
    return {
        **run_controls.view(now),
        "trouble": (now.trouble, lambda: gr.HTML(
            markup.note(*(now.trouble or ("", "")), "problem"), visible=bool(now.trouble))),
        "status": ((told, now.about), lambda: train_view.status_view(story, now.about)),
        "alarms": (told, lambda: gr.HTML(
            alarms_view(story), visible=bool(story and story.alarms))),
        "plot": (told, lambda: figure_value(
            charts.training_figure(story) if story and story.points else None)),
        "measured_box": (has_measures, lambda: gr.Column(visible=has_measures)),
        "measured": (told if has_measures else None, lambda: figure_value(
            charts_measures.measures_figure(story))),
        "telemetry": (telemetry, lambda: telemetry),
        "log": (told, lambda: train_view.log_view(story)),
        "evaluations": (now.evaluations, lambda: gr.HTML(
            now.evaluations, visible=bool(now.evaluations))),
        "load": ((name, _drawn(now)), lambda: figure_value(
            charts_telemetry.telemetry_figure(now.recorded[:_drawn(now)], name))),
        "load_box": (_drawn(now) > 1, lambda: gr.Accordion(visible=_drawn(now) > 1)),
        "recipe": (now.recipe_yaml, lambda: markup.preformatted(now.recipe_yaml)),
        "recipe_box": (bool(story), lambda: gr.Accordion(visible=bool(story))),
    }


def _drawn(now: Snapshot) -> int:
    """How many samples the chart of the load shows: all at the end, on the way in steps, since a
    chart that is redrawn every second takes the cores of training."""
    count = len(now.recorded)
    is_active = now.story is not None and now.story.is_active
    return count - count % REDRAWN_EVERY if is_active and count > REDRAWN_EVERY else count
