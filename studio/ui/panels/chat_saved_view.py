"""How the list of saved conversations looks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from studio.ui import markup
from studio.ui.presses import press_script
from studio.ui.words import counted, moment

if TYPE_CHECKING:
    from studio.chat.saved import SavedRow

SHOWN = 200
"""More rows than these would make the page slow; the oldest are left out, and it is said."""

LIST_SCRIPT = press_script("what")
"""Runs in the browser: a button of a row says what shall become of which conversation."""


def list_view(rows: Sequence[SavedRow], open_name: str = "") -> str:
    """One line for each, newest first; `open_name` is the one on the page."""
    if not rows:
        return markup.empty("No conversation yet", "After the first answer it is saved here by "
                            "itself, and you can go on with it any day.")
    inner = "".join(_row(row, is_open=row.name == open_name) for row in rows[:SHOWN])
    more = (f'<p class="quiet">{len(rows) - SHOWN:,} older ones are in the folder '
            "conversations of the studio's home.</p>" if len(rows) > SHOWN else "")
    return f'<ul class="queue saved-talks">{inner}</ul>{more}'


def _row(row: SavedRow, *, is_open: bool) -> str:
    name, title = escape(row.name), escape(row.title)
    if row.problem:
        words, first = escape(row.problem), f'<span class="queue-name">{title}</span>'
    else:
        words = escape(f"{counted(row.prompts, 'prompt')} to {' · '.join(row.columns)}; "
                       f"{moment(row.changed_seconds, with_year=True)}")
        first = (f'<button type="button" class="saved-open" data-what="open" data-name="{name}" '
                 f'title="Go on with it">{title}</button>')
    rename = "" if row.problem else markup.sign_button(
        "rename", row.name, "Rename", "✎", title=row.title)
    return (f'<li data-name="{name}"{" class=is-open" if is_open else ""}>{first}'
            f'<span class="quiet">{words}</span><span class="queue-buttons">{rename}'
            f'{markup.sign_button("delete", row.name, "Delete", "✕", title=row.title)}</span></li>')


def question_view(title: str) -> str:
    """What deleting takes away."""
    return markup.note(f"Delete the conversation “{title}” with all its answers? There is no way "
                       "back.", level="warning")
