"""The table of all runs: press one to open it, tick those to compare, press a column to sort.

Wiring; how the table looks is in `runs_table_view.py`. What opening a run changes elsewhere
is the business of the tab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels.runs_table_view import RUNS_SCRIPT, Order, runs_view
from studio.ui.seen import seen_by_page, unless_seen
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio


@dataclass(frozen=True)
class RunsTable:
    """The table. A press on a run is its `click`, with the name as `event.run`."""

    html: gr.HTML
    refreshing: dict[str, Any]

    def refresh_after(self, dependency: Any) -> None:
        """Redraw the table after an event that opened another run."""
        dependency.then(**self.refreshing)


def build(studio: Studio, shared: Shared, chosen: gr.State) -> RunsTable:
    """Lay out the table. `chosen` names the run that is open, or is empty.

    Comes after the panel that sets `shared.compared`.
    """
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Runs", "Press a run to open it, tick some to compare them."))
        table = gr.HTML(runs_view([]), elem_id="runs-table", js_on_load=RUNS_SCRIPT)
    order = gr.State(Order())
    seen = seen_by_page()
    compared = shared.compared
    inputs = {"chosen": chosen, "order": order, "seen": seen,
              **({"compared": compared} if compared else {})}

    def refresh(
        chosen: str, order: Order, seen: Any, compared: list[str] | None = None
    ) -> Any:
        shown = studio.run_to_show(chosen)
        name = shown.name if shown else ""
        now = (studio.shelf.rows(), name, tuple(compared or ()), order)
        return unless_seen(now, seen, lambda: [runs_view(*now)])

    def sort(event: gr.EventData, order: Order) -> Order:
        return order.pressed(str(event.column))

    def tick(event: gr.EventData, compared: list[str] | None) -> Any:
        name = studio.shelf.get(str(event.run)).name
        before = compared or []
        return [one for one in before if one != name] if name in before else [*before, name]

    refreshing: dict[str, Any] = {"fn": refresh, "inputs_kwargs": inputs,
                                  "outputs": [table, seen], **QUIET}
    shared.ticks.add(refresh, outputs=[table, seen], named=inputs)
    shared.demo.load(**refreshing)
    table.apply(sort, [order], [order], **QUIET).then(**refreshing)
    if compared is not None:
        table.select(guarded(tick), [compared], [compared], **QUIET).then(**refreshing)
        compared.change(trigger_mode="always_last", **refreshing)
    return RunsTable(table, refreshing)
