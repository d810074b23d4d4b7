"""The card of the base model: which one, how it is held in memory, and whether it is on this PC.

Fetching runs in the background and reports here and in the header; training fetches by itself,
so nobody must press the button.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.models.catalogue import catalogue
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.seen import seen_by_page, unless_seen
from studio.ui.shared import PRIVATE, Shared, recipe_of
from studio.ui.widgets import build_fields, keys_of

if TYPE_CHECKING:
    from studio.ui.reading import Reading
    from studio.ui.studio import Studio
    from studio.ui.tasks import TaskView

def build(studio: Studio, shared: Shared) -> None:
    """The model's fields, and a line that says where the model is."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Base model", "What the adapter is trained on. Frozen, never "
                                             "changed."))
        build_fields(shared, keys_of("model", rare=False), {"model.source": suggestions()})
        status = gr.HTML(elem_id="model-status", padding=False)
        fetch = gr.Button("Get the model now", size="sm", elem_id="model-fetch", visible=False)
        with gr.Accordion("Rarely needed", open=False, elem_id="model-rare"):
            build_fields(shared, keys_of("model", rare=True))
    shared.add_readout(status, partial(_read_status, studio))
    shared.add_readout(fetch, lambda reading: gr.Button(visible=_can_fetch(studio, reading)))
    _wire(studio, shared, status, fetch)


def suggestions() -> list[tuple[str, str]]:
    """The catalogue; any other model is typed in."""
    return [(f"{model.name} (ask its author first)" if model.gated else model.name, model.source)
            for model in catalogue()]


def _wire(studio: Studio, shared: Shared, status: gr.HTML, fetch: gr.Button) -> None:
    @guarded
    def start(**form: Any) -> tuple[Any, Any]:
        from studio.models.source import find_model

        model, settings = recipe_of(form).model, studio.settings
        studio.downloads.start(f"Getting {model.source}", lambda progress, stop: find_model(
            model.source, settings, revision=model.revision,
            trust_remote_code=model.trust_remote_code, progress=progress, stop=stop))
        return task_view(studio.downloads.snapshot()), gr.Button(visible=False)

    seen = seen_by_page()

    def follow(last: Any) -> Any:
        task = studio.downloads.snapshot()
        if task.state == "idle":
            return gr.skip()  # what the form says of the model stays
        return unless_seen(task.version, last, lambda: [task_view(task)])

    shared.ticks.add(follow, [seen], [status, seen])
    shared.when_complete(lambda: fetch.click(
        start, inputs_kwargs=shared.form(), outputs=[status, fetch], show_progress="hidden",
        **PRIVATE))


def _can_fetch(studio: Studio, reading: Reading) -> bool:
    return not (reading.recipe is None or reading.model_is_here or studio.settings.offline
                or studio.downloads.snapshot().is_active)


def _read_status(studio: Studio, reading: Reading) -> Any:
    task = studio.downloads.snapshot()
    if task.is_active:
        return task_view(task)
    if reading.recipe is None:
        return ""
    return status_view(reading.model_is_here, offline=studio.settings.offline)


def status_view(is_here: bool, *, offline: bool) -> str:
    """Whether the model is on this PC, and what happens if not."""
    if is_here:
        return markup.note("The model is on this PC.", level="good")
    if offline:
        return markup.note("The model is not on this PC, and the studio is offline.",
                           "Start it once without --offline, or choose a folder.", "warning")
    return markup.note("The model is not on this PC yet.", "It is fetched when you start, or now.")


def task_view(task: TaskView) -> str:
    """How the fetching goes, or how it ended."""
    if task.is_active:
        return markup.step_bar(task.step, task.title)
    if task.error:
        return markup.note(*task.error, "problem")
    return status_view(task.state == "done", offline=False)
