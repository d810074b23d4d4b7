"""What the parts of the Dataset tab share: the set that a page follows, and what shows it.

Each part adds its components with a function from a `Look` to an update; one handler asks them
all. Knows no part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from studio.errors import StudioError
from studio.ui.data_desk import DataDesk
from studio.ui.data_look import Look
from studio.ui.panels import dataset_record_view as record_view
from studio.ui.seen import seen_by_page

if TYPE_CHECKING:
    from studio.ui.shared import Shared

View = Callable[[Look], Any]
Views = list[tuple[Component, View]]


@dataclass
class DataPage:
    """`settled_signal` changes when a report is whole, `record_signal` whenever one record may look
    different. `live` views follow every step of a scan, `settled` ones what was found, `refilled`
    ones only that other rows are followed: they hold what a person types.

    The number of the record belongs to the person: no update of the data sets it, since one that
    was asked for a moment earlier would bring an old number back."""

    following: gr.State = field(default_factory=lambda: gr.State(""))
    seen: gr.JSON = field(default_factory=seen_by_page)
    settled_signal: Component = field(default_factory=lambda: signal())
    record_signal: Component = field(default_factory=lambda: signal())
    live: Views = field(default_factory=list)
    settled: Views = field(default_factory=list)
    refilled: Views = field(default_factory=list)
    number: Component | None = None
    record: Sequence[Component] = ()
    look_again: Callable[[Any], Any] | None = None
    """Given events or a dependency, follows the form's data after them; set when complete."""

    def outputs(self) -> list[Component]:
        """What `updates` gives values for, in order."""
        return [self.seen, self.settled_signal, self.record_signal,
                *(one for one, _ in self.live), *(one for one, _ in self.settled)]

    def updates(self, desk: DataDesk, key: str, seen: Sequence[str]) -> Any:
        """Everything that changed since `seen`, or a single `gr.skip()`."""
        look = desk.look(key)
        seen = seen or ("", "")  # a page that has just been opened has seen nothing
        if look is None or look.version == seen[1]:
            return gr.skip()
        live = [view(look) for _, view in self.live]
        is_settled = look.settled != seen[0]
        rest = [view(look) if is_settled else gr.skip() for _, view in self.settled]
        return [[look.settled, look.version], look.settled if look.is_new else gr.skip(),
                look.settled if is_settled else gr.skip(), *live, *rest]

    def refill_outputs(self) -> list[Component]:
        """What `refills` gives values for, in order."""
        return [one for one, _ in self.refilled]

    def refills(self, look: Look | None, *, is_other: bool) -> list[Any]:
        """Form parts made anew for other rows; untouched otherwise."""
        if look is None or not is_other:
            return [gr.skip()] * len(self.refilled)
        return [view(look) for _, view in self.refilled]

    def recipe_changed(self, after: Any, shared: Shared) -> None:
        """After edits (a list of events), or after what an event that set fields returned: follow
        the data, then refresh the readouts. Edits by hand have refreshed those of the form."""
        assert self.look_again is not None
        shared.refresh_after(self.look_again(after), form_changed=not isinstance(after, list))


def signal() -> gr.Textbox:
    """A hidden text whose `change` tells that a tick or a reading gave it another value.

    A `gr.State` does not tell it for events past the queue. Render it outside the tabs: what is
    inside is not there before its tab was opened.
    """
    return gr.Textbox("", visible="hidden", render=False)


def record_updates(desk: DataDesk, key: str, number: float | None) -> list[Any]:
    """Updates of the number (only where there is no such record), the raw record, the rendered one,
    and the row it is packed into."""
    wanted = int(number or 1)
    try:
        record = desk.record(key, wanted)
        shown = record_view.record_view(record) if record else record_view.nothing_view()
    except StudioError as error:
        record = desk.record(key, wanted, rendered=False)
        shown = record_view.fault_view(error.message, error.hint)
    if record is None:
        return [gr.skip() if number == 1 else 1, record_view.raw_view(None), shown, ""]
    look = desk.look(key)
    if look is None or not look.begun:
        shown = record_view.waiting_view()
    return [gr.skip() if number == record.number else record.number,
            record_view.raw_view(record.row, record_view.place_words(record)), shown,
            _packed(desk, key, look, record.number)]


def _packed(desk: DataDesk, key: str, look: Look | None, number: int) -> str:
    if look is None or not look.is_new or not look.recipe.data.packing:
        return ""
    row = desk.packed_row(key, number)
    if not row:
        return record_view.not_packed_view()
    return record_view.packed_view([row], look.recipe.data.max_length, number)
