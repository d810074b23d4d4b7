"""The sample of one stored row, for the few rows that are looked at after the scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.data.convert import to_sample
from studio.data.samples import RowFault, Sample

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole


def sample_of(whole: Whole, row: int) -> Sample | RowFault:
    """What row `row` of the set means, or why it means nothing."""
    detection = whole.detections[int(whole.store.source_of[row])]
    try:
        return to_sample(whole.store.row(row), detection)
    except RowFault as fault:
        return fault
