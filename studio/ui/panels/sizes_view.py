"""The table of what fits, as HTML. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.hardware.what_fits import METHODS, TABLE_SETTINGS
from studio.ui.presses import press_script

if TYPE_CHECKING:
    from studio.hardware.cards import Place
    from studio.hardware.what_fits import Cell, SizeTable

CHOOSE_SCRIPT = press_script("method")
"""Runs in the browser: a press on a cell of `table_view` fills the form in."""
MEANINGS = {"comfortable": "comfortable", "tight": "tight, little to spare", "no": "does not fit"}
HEADERS = {"Full": "Every weight", "LoRA": "LoRA", "QLoRA": "QLoRA (4-bit)"}


def table_view(table: SizeTable, place: Place) -> str:
    """A row for each model, a button for each method."""
    heads = "".join(f'<th class="right">{escape(HEADERS[method])}</th>' for method in METHODS)
    rows = "".join(
        f"<tr><td>{escape(row[0].model.name)}</td>"
        + "".join(f"<td>{_cell(cell, place)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    key = "".join(f'<span class="size-key size-{level}">{escape(meaning)}</span>'
                  for level, meaning in MEANINGS.items())
    return (
        f'<p class="size-place"><b>{escape(place.name)}</b>, {readable_bytes(table.free_bytes)} '
        f'free. <span class="quiet">{escape(place.note)}</span></p>'
        f'<div class="sizes-box"><table class="plain sizes"><thead><tr><th>Model</th>{heads}</tr>'
        f'</thead><tbody>{rows}</tbody></table></div><div class="size-keys">{key}</div>'
        f'<p class="quiet">At {escape(TABLE_SETTINGS)}. Where memory is short, smaller '
        "micro-batches and an 8-bit optimizer; for every weight, 16-bit numbers.</p>"
    )


def _cell(cell: Cell, place: Place) -> str:
    title = (f"{cell.model.name}, {HEADERS[cell.method]}: about "
             f"{readable_bytes(cell.total_bytes)}, {MEANINGS[cell.level]} {place.of_what}")
    return (
        f'<button type="button" class="size size-{cell.level}" title="{escape(title)}" '
        f'data-source="{escape(cell.model.source)}" data-method="{escape(cell.method)}" '
        f'data-level="{cell.level}">{readable_bytes(cell.total_bytes)}</button>'
    )
