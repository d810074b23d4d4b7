"""The ways of mixing as both tabs show them, of adapters and of whole models.

The rows are those of `adapters/blend/methods.py` and of `export/model_merge/methods.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Protocol


class Way(Protocol):
    """A way of mixing, in a person's words."""

    @property
    def label(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def good_for(self) -> str: ...


def way_choices(ways: Mapping[str, Way]) -> list[tuple[str, str]]:
    """(label, value) of every way, the usual one first."""
    return [(way.label, name) for name, way in ways.items()]


def way_view(way: Way) -> str:
    """What it does, and when to take it."""
    return (f'<div class="quiet">{escape(way.summary)}</div>'
            f'<div class="quiet"><b>Good for:</b> {escape(way.good_for)}</div>')
