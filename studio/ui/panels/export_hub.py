"""The Hub part of the Export tab: first what would be sent is shown, then a press sends it.

Layout, wiring and handlers. The token is read where the upload is made and is never on the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import ExportError
from studio.ui.guard import guarded
from studio.ui.panels.export_hub_view import dry_run_view, pushing_view
from studio.ui.panels.export_results import find_results, result_named
from studio.ui.seen import NEVER, Part, fresh_updates, seen_by_page
from studio.ui.shared import PRIVATE, QUIET, Shared
from studio.ui.task_buttons import start_part, stop_part

if TYPE_CHECKING:
    from studio.export.hub import PushPlan
    from studio.ui.studio import Studio

PARTS = ("exported", "work", "stop", "show")
PUSHED_KINDS = ("model folder", "adapter", "GGUF")


def build(studio: Studio, shared: Shared) -> None:
    """A fold below the list of exports."""
    parts: dict[str, Any] = {}
    with (gr.Group(elem_classes="card"),
          gr.Accordion("Push to the Hugging Face Hub", open=False, elem_id="export-hub"),
          gr.Column(elem_classes="stack")):
        gr.HTML('<p class="quiet">The only way by which anything leaves this PC, and only when you '
                "press twice.</p>", padding=False)
        with gr.Row():
            parts["exported"] = gr.Dropdown([], label="Export", elem_id="hub-export", scale=2,
                                            min_width=220)
            parts["repository"] = gr.Textbox(label="Repository", max_lines=1, scale=2,
                                             min_width=200, placeholder="your-name/orders",
                                             elem_id="hub-repository")
        parts["private"] = gr.Checkbox(True, label="Private", elem_id="hub-private",
                                       info="Nobody but you and those you let in can see it.")
        with gr.Row():
            parts["show"] = gr.Button("Show what would be sent", elem_id="hub-show")
            parts["push"] = gr.Button("Push", variant="primary", visible=False, scale=0,
                                      min_width=160, elem_id="hub-push")
            parts["stop"] = gr.Button("Stop", variant="stop", visible=False, scale=0,
                                      min_width=110, elem_id="hub-stop")
        parts["plan"] = gr.HTML(elem_id="hub-plan", padding=False)
        parts["work"] = gr.HTML(elem_id="hub-work", padding=False)
    _wire(studio, shared, parts)


def _wire(studio: Studio, shared: Shared, parts: dict[str, Any]) -> None:
    seen = seen_by_page()
    shown = [*(parts[name] for name in PARTS), seen]
    form = {name: parts[name] for name in ("exported", "repository", "private")}

    def refresh(seen: dict[str, Any]) -> list[Any]:
        return page(studio, seen)

    def show(**values: Any) -> list[Any]:
        plan = plan_of(studio, **values)
        return [dry_run_view(plan), gr.Button(visible=True)]

    def push(**values: Any) -> list[Any]:
        start_push(studio, **values)
        return [*NOT_SHOWN, *page(studio, NEVER)]

    shared.ticks.add(refresh, outputs=shown, named={"seen": seen})
    shared.demo.load(refresh, inputs_kwargs={"seen": seen}, outputs=shown, **QUIET)
    hidden = [parts["plan"], parts["push"]]
    parts["show"].click(guarded(show), inputs_kwargs=form, outputs=hidden, **PRIVATE)
    # What is pushed is what was shown: another choice has to be shown first.
    gr.on([parts["exported"].input, parts["repository"].input, parts["private"].input],
          lambda: NOT_SHOWN, None, hidden, **QUIET)
    parts["push"].click(guarded(push), inputs_kwargs=form, outputs=[*hidden, *shown], **QUIET)
    parts["stop"].click(lambda: studio.pushing.stop(), None, None, **QUIET)


NOT_SHOWN: list[Any] = ["", gr.Button(visible=False)]
"""No dry run is on the page."""


def page(studio: Studio, seen: dict[str, Any]) -> list[Any]:
    """One update for each of `PARTS` and for what was seen; what the page has is skipped."""
    names = [one.name for one in find_results(studio.settings.exports)
             if one.kind in PUSHED_KINDS]
    task = studio.pushing.snapshot()
    parts: dict[str, Part] = {
        "exported": (names, lambda: gr.Dropdown(choices=names)),
        "work": (task.version, lambda: pushing_view(task)),
        "stop": stop_part(task),
        "show": start_part(task),
    }
    return fresh_updates(parts, PARTS, seen)


def plan_of(studio: Studio, exported: str | None, repository: str, private: bool) -> PushPlan:
    """What would be sent. Sends nothing. Raises ExportError."""
    from studio.export.hub import plan_push

    if not exported:
        raise ExportError("No export is chosen.", "Write one above, then choose it here.")
    found = result_named(studio.settings.exports, exported)
    return plan_push(found.path, repository.strip(), studio.settings, private=private)


def start_push(studio: Studio, exported: str | None, repository: str, private: bool) -> None:
    """Begin to send it in the background. Raises ExportError, and BusyError during another one."""
    from studio.export.hub import push

    plan = plan_of(studio, exported, repository, private)
    studio.pushing.start(
        f"Pushing {exported}",
        lambda progress, stop: push(plan, studio.settings, progress=progress, stop=stop))
