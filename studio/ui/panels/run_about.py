"""The person's own name and note for the run that is shown, and the way to delete it.

Wiring and handlers. A page that was not typed in follows what another page saves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.about import LONGEST_TITLE, About
from studio.files import folder_bytes, readable_bytes
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.seen import NEVER, seen_by_page, unless_seen
from studio.ui.shared import PRIVATE, QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio


def build(studio: Studio, shared: Shared, chosen: gr.State) -> None:
    """Lay out the box. `chosen` names the run that is open, or is empty."""
    with (gr.Accordion("Name, note, delete", open=False, visible=False,
                       elem_id="run-about") as box, gr.Column(elem_classes="stack")):
        title = gr.Textbox(label="Title", max_lines=1, max_length=LONGEST_TITLE,
                           elem_id="run-title", info="Shown instead of the folder's name.")
        note = gr.Textbox(label="Note", lines=3, max_lines=12, elem_id="run-note",
                          placeholder="What was tried, what came of it.")
        with gr.Row():
            save = gr.Button("Save", size="sm", min_width=90, elem_id="run-about-save")
            delete = gr.Button("Delete this run", variant="stop", size="sm", min_width=90,
                               elem_id="run-delete")
        with gr.Column(visible=False, elem_classes="stack") as confirm:
            question = gr.HTML(elem_id="run-delete-question", padding=False)
            with gr.Row():
                keep = gr.Button("Keep it", size="sm", min_width=90, elem_id="run-delete-no")
                sure = gr.Button("Delete it for good", variant="stop", size="sm", min_width=90,
                                 elem_id="run-delete-yes")
    seen = seen_by_page()
    asked = gr.State("")  # the run whose deletion is being confirmed
    boxes = [box, title, note, seen]
    asking = [confirm, question, asked]

    def refresh(chosen: str, seen: Any) -> Any:
        return boxes_view(studio, chosen, seen)

    def save_about(chosen: str, title: str, note: str) -> list[Any]:
        run = studio.run_to_show(chosen)
        if run is not None:
            run.set_about(title=title, note=note)
        return boxes_view(studio, chosen, NEVER)

    def ask(chosen: str) -> list[Any]:
        run = studio.run_to_show(chosen)
        name = run.name if run else ""
        return [gr.Column(visible=bool(run)), question_view(studio, name), name]

    def delete_run(asked: str) -> list[Any]:
        from studio.training.deleting import delete_run

        if asked:
            delete_run(studio.settings, asked)
        return ["", *boxes_view(studio, "", NEVER), *not_asking()]

    shared.ticks.add(refresh, [chosen, seen], boxes)
    shared.demo.load(refresh, [chosen, seen], boxes, **QUIET)
    chosen.change(refresh, [chosen, seen], boxes, **QUIET)
    chosen.change(not_asking, None, asking, **QUIET)
    save.click(guarded(save_about), [chosen, title, note], boxes, **QUIET)
    delete.click(ask, [chosen], asking, **QUIET)
    keep.click(not_asking, None, asking, **QUIET)
    sure.click(guarded(delete_run), [asked], [chosen, *boxes, *asking], **PRIVATE)


def boxes_view(studio: Studio, chosen: str, seen: Any) -> Any:
    """Updates for the box, title, note, and what was seen; none where the run is as it was seen,
    so that nobody's typing is overwritten."""
    run = studio.run_to_show(chosen)
    now = (run.name, run.about) if run else ("", About())
    return unless_seen(now, seen, lambda: [
        gr.Accordion(visible=run is not None), now[1].title, now[1].note])


def question_view(studio: Studio, name: str) -> str:
    """What deleting this run would take away."""
    if not name:
        return ""
    run = studio.shelf.get(name)
    title = f" ({run.about.title})" if run.about.title else ""
    return markup.note(
        f"Delete {name}{title} with its curve, its checkpoints, and what it learned? That is "
        f"{readable_bytes(folder_bytes(run.path))}, and there is no way back.", level="warning")


def not_asking() -> list[Any]:
    """Nothing is being confirmed."""
    return [gr.Column(visible=False), "", ""]
