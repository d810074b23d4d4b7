"""The finding about sources whose rows have several formats, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from studio.data.checks.shown import examples_of
from studio.data.findings import Finding
from studio.data.groups import UNKNOWN

if TYPE_CHECKING:
    from studio.data.lab.store import SourceFacts
    from studio.data.lab.whole import Whole


def mixed_formats(whole: Whole) -> list[Finding]:
    """One finding for all sources in which no format prevails; its rows are those that have not
    the most frequent format of their source."""
    first = 0
    rows = [numpy.zeros(0, numpy.uint32)]
    said = []
    for source, detection in zip(whole.sources, whole.detections, strict=True):
        if detection.format is None and len(_known(source)) > 1:
            main = _known(source)[0]
            others = [source.groups.rows_of(name) for name in source.groups.counts if name != main]
            rows.append((numpy.concatenate(others) + first).astype(numpy.uint32))
            said.append(_in_words(source))
        first += source.readable
    if not said:
        return []
    found = numpy.sort(numpy.concatenate(rows))
    return [Finding(
        "mixed_formats", "problem", "Rows of several formats", " ".join(said),
        "Nothing can be trained on while it is not clear how the rows are meant. Drop keeps the "
        "rows of the most frequent format; or choose one format for all.",
        count=len(found), rows=found, shown=examples_of(whole, found), remedies=("drop",))]


def _known(source: SourceFacts) -> list[str]:
    return [name for name in source.groups.counts if name != UNKNOWN]


def _in_words(source: SourceFacts) -> str:
    parts = [f"{rows:,} {'of no known format' if name == UNKNOWN else name} "
             f"({', '.join(source.groups.places(name))}{', ...' if rows > 3 else ''})"
             for name, rows in source.groups.counts.items()]
    return f"{source.name}: {'; '.join(parts)}."
