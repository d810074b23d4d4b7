"""The list of exports on the Export tab: reports, commands to copy, deleting.

Layout, wiring and handlers; what lies there is read in `export_results.py`, and how it looks is in
`export_results_view.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import BusyError
from studio.export.ollama import create_in_ollama, default_modelfile, ollama_name, ollama_program
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels.export_results import delete_result, find_results, result_named
from studio.ui.panels.export_results_view import LIST_SCRIPT, question_view, results_view
from studio.ui.question import Question, build_question
from studio.ui.seen import NEVER, Part, fresh_updates, seen_by_page
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio


@dataclass(frozen=True)
class ShelfPart:
    """The list, and what asks whether one of it shall go; `about` is the name of that one."""

    rows: gr.HTML
    about: gr.State
    question: Question

    @property
    def asking(self) -> list[Any]:
        """Outputs of what begins and ends the question."""
        return [self.about, self.question.row, self.question.text]


def build() -> ShelfPart:
    """Lay out the card."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Exports", "Everything stays on this PC, in the folders named."))
        question = build_question("export-delete-yes")
        rows = gr.HTML(results_view([]), elem_id="export-results", padding=False,
                       js_on_load=LIST_SCRIPT)
    return ShelfPart(rows, gr.State(""), question)


def wire(studio: Studio, shared: Shared, shelf: ShelfPart) -> None:
    """Keep the list up to date, and let a result be deleted once that was asked."""
    seen = seen_by_page()
    shown = [shelf.rows, seen]

    def refresh(seen: dict[str, Any]) -> list[Any]:
        return rows_update(studio, seen)

    def clicked(event: gr.EventData) -> list[Any]:
        if str(event.what) == "ollama":
            take_into_ollama(studio, str(event.name))
            return NOT_ASKING
        return ask_to_delete(studio, str(event.name))

    def delete(name: str) -> list[Any]:
        delete_export(studio, name)
        return [*NOT_ASKING, *rows_update(studio, NEVER)]

    shared.ticks.add(refresh, outputs=shown, named={"seen": seen})
    shared.demo.load(refresh, inputs_kwargs={"seen": seen}, outputs=shown, **QUIET)
    shelf.rows.click(guarded(clicked), None, shelf.asking, **QUIET)
    shelf.question.delete.click(guarded(delete), [shelf.about], [*shelf.asking, *shown], **QUIET)
    shelf.question.keep.click(lambda: NOT_ASKING, None, shelf.asking, **QUIET)


NOT_ASKING: list[Any] = ["", gr.Row(visible=False), ""]
"""Nothing is about to be deleted."""


def rows_update(studio: Studio, seen: dict[str, Any]) -> list[Any]:
    """Updates of the list and of what was seen; nothing while the folder is as it was."""
    results = find_results(studio.settings.exports)
    parts: dict[str, Part] = {
        "rows": ([(one.path, one.stamp, one.has_modelfile) for one in results],
                 lambda: results_view(results, has_ollama=ollama_program() is not None))}
    return fresh_updates(parts, ["rows"], seen)


def ask_to_delete(studio: Studio, name: str) -> list[Any]:
    """Updates that ask whether the export of that name shall go. Raises ExportError."""
    found = result_named(studio.settings.exports, name)
    return [name, gr.Row(visible=True), question_view(name, found.size_bytes)]


def take_into_ollama(studio: Studio, name: str) -> None:
    """Begin to have Ollama take a GGUF in. Raises ExportError, and BusyError during an export."""
    modelfile = default_modelfile(result_named(studio.settings.exports, name).path)
    studio.exports.begin(
        f"Creating {ollama_name(modelfile)} in Ollama",
        lambda progress, stop: create_in_ollama(modelfile, progress=progress, stop=stop))


def delete_export(studio: Studio, name: str) -> None:
    """Delete it. Raises ExportError, and BusyError while an export or a merge is at work."""
    if studio.exports.snapshot().task.is_active or studio.merging.snapshot().is_active:
        raise BusyError("An export is at work, and may be reading this one.",
                        "Wait until it is done, or stop it.")
    delete_result(studio.settings.exports, name)
