"""All findings of a set. What each looks for is in `untaught.py`, `mixed.py`, `repeats.py`, and
`content.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.data.checks.content import content_findings, languages
from studio.data.checks.mixed import mixed_formats
from studio.data.checks.repeats import repeat_findings
from studio.data.checks.untaught import untaught_findings
from studio.data.findings import Finding

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole

__all__ = ["find_all", "languages"]

_LEVELS = ("problem", "warning", "info")


def find_all(whole: Whole) -> list[Finding]:
    """Everything worth knowing, the worst first. What needs tokens is left out without lengths."""
    found = [*mixed_formats(whole), *untaught_findings(whole), *repeat_findings(whole),
             *content_findings(whole)]
    return sorted(found, key=lambda finding: _LEVELS.index(finding.level))
