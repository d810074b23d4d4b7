"""The curves and figures of runs that pages compare, worked out once for each new thing that a run
tells. What is recorded of a finished run is read once; of a run at work, what was added.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from studio.comparison import By, Summary, metric_named, series, summary
from studio.hardware.telemetry import FILE_NAME, Sample, read_telemetry
from studio.runs import Run

if TYPE_CHECKING:
    from studio.ui.recordings import Recordings

KEPT = 256
"""Curves and figures kept; each is small beside the samples it is made of."""

Points = tuple[list[float], list[float]]
Stamp = tuple[int, int]
Made = TypeVar("Made", Points, Summary)


class Curves:
    """Shared by all pages. Holds nothing that cannot be made again from the run folders."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[Path, str], tuple[Stamp, Points | Summary]] = OrderedDict()

    def of(self, run: Run, metric: str, by: By) -> Points:
        """x and y of `metric`, as `comparison.series` gives them."""
        needs_samples = metric_named(metric).of_sample is not None
        stamp = self.stamp(run, with_samples=needs_samples)
        known = self._known(run, f"{metric} {by}", stamp)
        if isinstance(known, tuple):
            return known
        samples = self._samples(run) if needs_samples else ()
        return self._keep(run, f"{metric} {by}", stamp, series(run.story(), samples, metric, by))

    def summary(self, run: Run) -> Summary:
        """The figures of `run`."""
        stamp = self.stamp(run, with_samples=True)
        known = self._known(run, "summary", stamp)
        if isinstance(known, Summary):
            return known
        return self._keep(run, "summary", stamp, summary(run.story(), self._samples(run)))

    def stamp(self, run: Run, *, with_samples: bool) -> Stamp:
        """Changes when the run has told more, or if asked when more was recorded."""
        size_bytes = 0
        if with_samples:
            with contextlib.suppress(OSError):  # nothing was recorded
                size_bytes = (run.path / FILE_NAME).stat().st_size
        return run.story().version, size_bytes

    def _samples(self, run: Run) -> Sequence[Sample]:
        if run.story().is_active:
            return self._recordings.of(run)
        return read_telemetry(run.path).read()

    def _known(self, run: Run, what: str, stamp: Stamp) -> Points | Summary | None:
        with self._lock:
            found = self._made.get((run.path, what))
            return found[1] if found and found[0] == stamp else None

    def _keep(self, run: Run, what: str, stamp: Stamp, made: Made) -> Made:
        with self._lock:
            self._made[run.path, what] = stamp, made
            self._made.move_to_end((run.path, what))
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return made
