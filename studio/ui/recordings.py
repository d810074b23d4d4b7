"""What was recorded of runs (load, memory, temperature), kept open for the pages that show it.

A page asks at every tick; only what was added since is read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from studio.hardware.telemetry import read_telemetry
from studio.runs import Run

if TYPE_CHECKING:
    from studio.hardware.telemetry import Sample
    from studio.json_lines import JsonLines

KEPT_RUNS = 4
"""An hour of one run is a megabyte in memory."""


class Recordings:
    """The samples of runs, shared by all pages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, JsonLines[Sample]] = OrderedDict()

    def of(self, run: Run | None) -> list[Sample]:
        """Every sample of `run` so far, oldest first; none for no run or one without a file."""
        if run is None:
            return []
        with self._lock:
            reader = self._open.pop(run.path, None) or read_telemetry(run.path)
            self._open[run.path] = reader
            while len(self._open) > KEPT_RUNS:
                self._open.popitem(last=False)
        return reader.read()
