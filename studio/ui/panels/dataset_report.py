"""The findings with their remedies, and the cleaned copy that follows from what was chosen.

The copy is written in the background; the page that asked for it then reads it instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import StudioError
from studio.progress import Progress, ShouldStop
from studio.ui import markup
from studio.ui.data_look import Look
from studio.ui.guard import guarded
from studio.ui.panels import dataset_findings_view as findings_view
from studio.ui.panels.dataset_page import DataPage, signal
from studio.ui.panels.dataset_record import wire_jump
from studio.ui.seen import seen_by_page, unless_seen
from studio.ui.shared import PRIVATE, QUIET, Shared, recipe_of

if TYPE_CHECKING:
    from studio.data.cleaning import Cleaned
    from studio.ui.studio import Studio

TITLE = "Cleaning the data"


def build(studio: Studio, shared: Shared, page: DataPage) -> None:
    """The list, the line of what was chosen, the button, the record of what was done."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading(
            "What to know before training", "Found in all records. Press a sample to see it below; "
            "press Drop, Fix, or Mask to choose what a cleaned copy does."))
        listed = gr.HTML(waiting_view(), elem_id="dataset-findings", padding=False,
                         js_on_load=findings_view.ACT_SCRIPT)
        with gr.Row():
            chosen = gr.HTML(elem_id="dataset-chosen", padding=False)
            clean = gr.Button("Make a cleaned copy", variant="primary", size="sm", scale=0,
                              min_width=190, visible=False, elem_id="dataset-clean")
        work = gr.HTML(elem_id="dataset-cleaning", padding=False)
    page.settled += [
        (listed, list_view),
        (chosen, chosen_view),
        (clean, lambda look: gr.Button(visible=bool(look.choices and look.is_new))),
    ]
    shared.when_complete(lambda: _wire(studio, shared, page, [listed, clean, work]))


def waiting_view() -> str:
    """What stands there before the first report."""
    return markup.empty("Not looked at yet", "The report appears when all records were read.")


def list_view(look: Look) -> str:
    """The findings, or that they are still to come."""
    if look.report is None:
        return waiting_view()
    return findings_view.findings_view(look.report.findings, look.choices)


def chosen_view(look: Look) -> str:
    """What a cleaned copy would do; nothing where there is nothing to mend."""
    found = look.report.findings if look.report else ()
    if not any(one.remedies for one in found):
        return ""
    return findings_view.chosen_view(found, look.choices)


def _wire(studio: Studio, shared: Shared, page: DataPage, parts: list[Any]) -> None:
    listed, clean, work = parts
    mine, seen, ready = gr.State(0.0), seen_by_page(), signal()
    ready.render()
    wire_jump(page, listed)

    @guarded
    def choose(event: gr.EventData, key: str, seen: Any) -> Any:
        studio.data.choose(key, str(event.finding), str(event.remedy))
        return page.updates(studio.data, key, seen)

    @guarded
    def begin(key: str) -> float:
        start_cleaning(studio, key)
        return studio.cleaning.snapshot().started_seconds

    def refresh(seen: Any, mine: float) -> Any:
        task = studio.cleaning.snapshot()
        is_mine = task.state == "done" and task.started_seconds == mine
        return unless_seen(task.version, seen, lambda: [
            findings_view.cleaning_view(task), str(mine) if is_mine else gr.skip()])

    @guarded
    def take(**form: Any) -> list[Any]:
        cleaned: Cleaned = studio.cleaning.snapshot().result
        gr.Info("The cleaned copy is what you train on now.", duration=5)
        recipe = recipe_of(form)
        return shared.updates_for(
            recipe.with_values(findings_view.new_sources(cleaned, recipe.data)))

    listed.click(choose, [page.following, page.seen], page.outputs(), **QUIET)
    clean.click(begin, page.following, mine, **QUIET)
    shared.ticks.add(refresh, [seen, mine], [work, ready, seen])
    shared.demo.load(refresh, [seen, mine], [work, ready, seen], **QUIET)
    page.recipe_changed(ready.change(take, inputs_kwargs=shared.form(), outputs=shared.ordered(),
                                     show_progress="hidden", **PRIVATE), shared)


def start_cleaning(studio: Studio, key: str) -> None:
    """Write the cleaned copy of a set in the background. Raises DataError while it is read, and
    BusyError while another copy is written."""
    look, whole = studio.data.look(key), studio.data.whole(key)
    if look is None or look.report is None or not look.choices:
        raise StudioError("Nothing was chosen yet.", "Press Drop, Fix, or Mask beside a finding.")
    findings, choices = look.report.findings, look.choices

    def work(progress: Progress, stop: ShouldStop) -> Cleaned:
        from studio.data.cleaning import clean

        return clean(whole, findings, choices, studio.settings.uploads, progress=progress,
                     stop=stop)

    studio.cleaning.start(TITLE, work)
