"""What "Make it fit" shows: two bars, a row for each change, or what would fit. Pure HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.ui import markup
from studio.ui.charts_memory import before_and_after

if TYPE_CHECKING:
    from studio.hardware.fit import Change, Fit

ORDER = ("Tried in this order: what changes nothing of the result, then what costs time, then what "
         "costs quality. Nothing that could stay was changed.")


def proposal_view(found: Fit, advice: Sequence[str] = ()) -> str:
    """Before and after with the reasons; where nothing fits, what would."""
    if found.fitted_already:
        return markup.note("It fits as it is, with headroom. Nothing has to change.", level="good")
    if not found.fits:
        return markup.note("No settings make this fit.", " ".join(advice), "problem")
    rows = "".join(map(_row, found.changes))
    return (
        f'<div class="fit">{before_and_after(found.before, found.after, found.free_bytes)}'
        '<table class="plain fit-changes"><thead><tr><th>Setting</th><th>From</th><th>To</th>'
        f'<th class="right">Saves</th></tr></thead><tbody>{rows}</tbody></table>'
        f'<p class="quiet">{escape(ORDER)}</p></div>'
    )


def _row(change: Change) -> str:
    from studio.hardware.fit import setting_label, setting_text

    moved = [(change.key, change.old, change.new), *change.along]
    names, before, after = (
        "<br>".join(escape(text) for text in column) for column in (
            [setting_label(key) for key, _, _ in moved],
            [setting_text(old) for _, old, _ in moved],
            [setting_text(new) for _, _, new in moved]))
    return (
        f'<tr data-key="{escape(change.key)}"><td>{names}</td><td>{before}</td><td>{after}</td>'
        f'<td class="right">{readable_bytes(change.saved_bytes)}</td></tr>'
        f'<tr class="fit-why"><td colspan="4">{escape(change.why)}</td></tr>'
    )
