"""All runs as a table: pure functions to HTML, in the order that the person asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from studio.ui.markup import empty
from studio.ui.panels.train_view import state_word
from studio.ui.words import moment

if TYPE_CHECKING:
    from studio.ui.shelf import RunRow

RUNS_SCRIPT = """
element.addEventListener('click', (event) => {
    const column = event.target.closest('th [data-column]');
    if (column) { trigger('apply', {column: column.dataset.column}); return; }
    const box = event.target.closest('[data-compare]');
    if (box) { trigger('select', {run: box.dataset.compare}); return; }
    const row = event.target.closest('[data-run]');
    if (row) { trigger('click', {run: row.dataset.run}); }
});
"""
"""Runs in the browser: a head sorts, a box chooses for the comparison, a row opens the run."""


class Column(NamedTuple):
    """`key` gives what is sorted by, `cell` the HTML of one row."""

    title: str
    key: Callable[[RunRow], Any]
    cell: Callable[[RunRow], str]
    css: str = ""


@dataclass(frozen=True)
class Order:
    """By which column, and whether from the highest down. At first: the newest first."""

    column: str = "started"
    down: bool = True

    def pressed(self, column: str) -> Order:
        """The order after a press on a column's head: the other way round if it was this one."""
        if column not in COLUMNS:
            return self
        if column == self.column:
            return Order(column, not self.down)
        return Order(column, column == "started")


def runs_view(
    rows: Collection[RunRow], shown: str = "", compared: Collection[str] = (),
    order: Order | None = None,
) -> str:
    """All runs, newest first where no other order is asked for; `shown` is the open one."""
    if not rows:
        return empty("No runs yet", "Every run stays here, to look at again, resume, or chat with.")
    order = order or Order()
    head = "".join(_head(name, column, order) for name, column in COLUMNS.items())
    body = "".join(_row(row, row.name == shown, row.name in compared)
                   for row in ordered(rows, order))
    return ('<div class="runs-box"><table class="runs"><thead><tr><th class="tick"></th>'
            f"{head}</tr></thead><tbody>{body}</tbody></table></div>")


def ordered(rows: Collection[RunRow], order: Order) -> list[RunRow]:
    """The rows in that order; those without a value are last either way, as they came."""
    key = COLUMNS[order.column].key
    if order == Order():
        return list(rows)  # the shelf's own order: when the run was made, not when it began
    known = [row for row in rows if not _is_missing(key(row))]
    missing = [row for row in rows if _is_missing(key(row))]
    return [*sorted(known, key=key, reverse=order.down), *missing]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _head(name: str, column: Column, order: Order) -> str:
    is_sorted = name == order.column
    way = "descending" if order.down else "ascending"
    arrow = ("▾" if order.down else "▴") if is_sorted else ""
    state = f' aria-sort="{way}"' if is_sorted else ""
    return (f'<th class="{column.css}"{state}><button type="button" data-column="{name}" '
            f'title="Sort by this">{column.title}<span class="sort-arrow">{arrow}</span></button>'
            "</th>")


def _row(row: RunRow, is_shown: bool, is_compared: bool) -> str:
    name = escape(row.name)
    mark = ' class="shown" aria-current="true"' if is_shown else ""
    # Not an input: a redraw sets attributes, and those of a pressed input no longer count.
    box = (f'<td class="tick"><button type="button" role="checkbox" data-compare="{name}" '
           f'aria-checked="{str(is_compared).lower()}" aria-label="Compare {name}" '
           'title="Compare this run with others"></button></td>')
    cells = "".join(f'<td class="{column.css}">{column.cell(row)}</td>'
                    for column in COLUMNS.values())
    return f'<tr{mark} data-run="{name}">{box}{cells}</tr>'


def _name_cell(row: RunRow) -> str:
    tip = f' title="{escape(row.note)}"' if row.note else ' title="Open this run"'
    has_note = '<span class="has-note" aria-label="has a note">✎</span>' if row.note else ""
    folder = f'<span class="quiet run-folder">{escape(row.name)}</span>' if row.title else ""
    return (f'<button type="button" data-run="{escape(row.name)}"{tip}>'
            f"{escape(row.title or row.name)}</button>{has_note}{folder}")


def _state_cell(row: RunRow) -> str:
    state = escape(row.state)
    return f'<span class="pill pill-{state}">{escape(state_word(row.state))}</span>'


def _steps_cell(row: RunRow) -> str:
    return f"{row.step:,} of {row.total_steps:,}" if row.total_steps else f"{row.step:,}"


def _loss_cell(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.4f}" if math.isfinite(loss) else "no number"


def _best_cell(row: RunRow) -> str:
    if row.is_rewarded and row.best_loss is not None:
        return f"reward {_loss_cell(-row.best_loss)}"
    return _loss_cell(row.best_loss)


def _when(seconds: float | None) -> str:
    return "–" if seconds is None else moment(seconds)


COLUMNS = {
    "run": Column("Run", lambda row: (row.title or row.name).lower(), _name_cell, "run"),
    "state": Column("State", lambda row: row.state, _state_cell),
    "method": Column("Method", lambda row: row.method or None, lambda row: escape(row.method),
                     "method"),
    "step": Column("Steps", lambda row: row.step, _steps_cell, "right"),
    "loss": Column("Last loss", lambda row: row.loss, lambda row: _loss_cell(row.loss), "right"),
    "best": Column("Best held-out", lambda row: row.best_loss,
                   lambda row: _best_cell(row), "right"),
    "started": Column("Started", lambda row: row.started_seconds,
                      lambda row: escape(_when(row.started_seconds)), "right"),
}
"""The columns by name, from left to right."""
