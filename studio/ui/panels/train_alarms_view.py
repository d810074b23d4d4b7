"""What is wrong with a run, and what to do about it: pure functions from a Story to HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from studio.ui.markup import note

if TYPE_CHECKING:
    from studio.story import Alarm, Story

SHOWN = 4
"""Of so many the newest stand open; older ones wait behind a line that opens them."""


def alarms_view(story: Story | None) -> str:
    """The alarms of a run, the newest first, each with its advice; empty where all is well."""
    if story is None or not story.alarms:
        return ""
    newest = sorted(story.alarms, key=lambda alarm: alarm.step, reverse=True)
    older = newest[SHOWN:]
    folded = (f"<details><summary>{len(older)} earlier alarm{'s' if len(older) > 1 else ''}"
              f'</summary><div class="alarms">{_notes(older)}</div></details>' if older else "")
    return f'<div class="alarms">{_notes(newest[:SHOWN])}{folded}</div>'


def _notes(alarms: Sequence[Alarm]) -> str:
    return "".join(
        f'<div data-alarm="{escape(alarm.kind)}">'
        f'{note(f"{_where(alarm)}: {alarm.text}", alarm.hint, _LEVELS.get(alarm.level, "info"))}'
        "</div>" for alarm in alarms)


_LEVELS = {"bad": "problem", "warning": "warning"}


def _where(alarm: Alarm) -> str:
    return f"Step {alarm.step:,}" if alarm.step else "At the start"
