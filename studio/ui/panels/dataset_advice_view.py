"""Advice as rows with a reason and one button, and the question before all. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from studio.ui import markup
from studio.ui.presses import press_script
from studio.ui.widgets import fields_by_key

if TYPE_CHECKING:
    from studio.data.lab.report import Advice

APPLY_SCRIPT = press_script("about")
"""Runs in the browser: a press on a button sets what its advice proposes."""


def advice_view(advice: Sequence[Advice]) -> str:
    """A row for each piece: what to do, why, and a button where the form can do it."""
    if not advice:
        return markup.note("Nothing to change: size, lengths and settings fit together.",
                           level="good")
    return f'<div class="advice">{"".join(map(_row, advice))}</div>'


def _row(advice: Advice) -> str:
    button = (f'<button type="button" class="remedy" data-about="{escape(advice.about)}">'
              f"{escape(_button(advice.changes))}</button>" if advice.changes else "")
    return (f'<div class="advice-row" data-advice="{escape(advice.about)}"><div>'
            f"<b>{escape(advice.what)}</b><p>{escape(advice.why)}</p></div>{button}</div>")


def _button(changes: Mapping[str, Any]) -> str:
    """"Set maximum length to 512"."""
    (key, value), *more = changes.items()
    field = fields_by_key().get(key)
    words = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    return f"Set {(field.label if field else key).lower()} to {words}" + (" …" if more else "")


def checklist_view(questions: Sequence[tuple[str, str]]) -> str:
    """(what speaks for or against, why) as a short list to go through."""
    rows = "".join(f"<li><b>{escape(what)}</b><p>{escape(why)}</p></li>" for what, why in questions)
    return f'<ol class="checklist">{rows}</ol>'
