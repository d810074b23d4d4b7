"""Real training steps on the processor beside the memory estimate.

Every case is a dry run: a fresh process that takes the studio's own way from loading to two
optimizer steps, its peak of resident memory kept by the system. Models are small and random, and
the starter. Nothing of it calibrates this machine.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.bench.cpu_cases import CASES, QUICK, STARTER_FAMILY, Case
from studio.bench.cpu_models import make_model, word
from studio.bench.folder import passing_folder
from studio.bench.machine import machine_line
from studio.bench.memory import Accuracy, accuracy
from studio.errors import Stopped
from studio.models.starter import prepare_starter
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Recipe
from studio.settings import Settings

_MICRO_BATCHES = 2
"""Of data: more than one, so that accumulation has something to accumulate."""


@dataclass(frozen=True)
class GridRow:
    """One case. Bytes; `allocated_bytes` is the estimate without libraries and slack.

    `peaks` are the measured peaks by moment; `moment` is the one of the highest.
    """

    case: Case
    estimated_bytes: int
    allocated_bytes: int
    measured_bytes: int
    estimated_moment: str
    parts: dict[str, int]
    peaks: dict[str, int]

    @property
    def error_percent(self) -> float:
        """Positive where too much was estimated."""
        return 100 * (self.estimated_bytes / self.measured_bytes - 1)

    @property
    def moment(self) -> str:
        """When the most was held."""
        return max(self.peaks, key=lambda name: self.peaks[name])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "group": self.case.group, "family": self.case.family, "batch": self.case.batch,
            "length": self.case.length, "what": self.case.what,
            "estimated_bytes": self.estimated_bytes, "allocated_bytes": self.allocated_bytes,
            "measured_bytes": self.measured_bytes, "error_percent": round(self.error_percent, 2),
            "moment": self.moment, "estimated_moment": self.estimated_moment,
            "parts": self.parts, "peaks": self.peaks,
        }


@dataclass(frozen=True)
class GridTable:
    """All rows, with the accuracy of each group and of all."""

    machine: str
    rows: tuple[GridRow, ...]

    def accuracy(self, group: str | None = None) -> Accuracy:
        """Absolute percentage errors of a group, or of all."""
        return accuracy(abs(row.error_percent) for row in self.rows
                        if group in (None, row.case.group))

    @property
    def groups(self) -> tuple[str, ...]:
        """In order of appearance."""
        return tuple(dict.fromkeys(row.case.group for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "machine": self.machine, **self.accuracy().to_dict(),
            "groups": [{"group": group, "rows": self.accuracy(group).runs,
                        **self.accuracy(group).to_dict()} for group in self.groups],
            "rows": [row.to_dict() for row in self.rows],
        }


def run_grid(
    settings: Settings, *, progress: Progress = silent, stop: ShouldStop = never,
    quick: bool = False, cases: Sequence[Case] | None = None,
) -> GridTable:
    """Measure every case; some 15 seconds each on a laptop. `quick` takes four small ones.

    Raises Stopped, and StudioError where a case cannot be trained here.
    """
    chosen = cases if cases is not None else QUICK if quick else CASES
    rows: dict[int, GridRow] = {}
    by_family: dict[str, list[int]] = defaultdict(list)
    for number, case in enumerate(chosen):
        by_family[case.family].append(number)
    for family, of_family in by_family.items():
        # One model at a time on the disk.
        with passing_folder(settings.cache / "cpu-grid") as folder:
            source = _model(family, folder, settings, progress, stop)
            for number in of_family:
                progress(Step("Measuring training steps", len(rows), len(chosen), "cases"))
                rows[number] = _measured(chosen[number], source, folder, settings, stop)
    progress(Step("Measuring training steps", len(rows), len(chosen), "cases"))
    return GridTable(machine_line(), tuple(rows[number] for number in range(len(chosen))))


def _model(
    family: str, folder: Path, settings: Settings, progress: Progress, stop: ShouldStop
) -> str:
    """What a recipe calls the model of `family`."""
    if stop():
        raise Stopped("The measuring was stopped.")
    if family == STARTER_FAMILY:
        return str(prepare_starter(settings, progress, stop))
    return str(make_model(family, folder / family))


def _measured(
    case: Case, source: str, folder: Path, settings: Settings, stop: ShouldStop
) -> GridRow:
    from studio.training.dry_run import dry_run

    # A home of its own, so that what is kept of the examples goes with it.
    found = dry_run(_recipe(case, source, folder), replace(settings, home=folder / "home"),
                    stop=stop, calibrate=False)
    peaks = {phase.name: phase.peak_bytes for phase in found.phases}
    if found.ran_out is not None:
        raise Stopped(f"This PC has too little memory for the grid: {found.sentence}")
    estimated = found.estimated
    return GridRow(
        case, estimated.total_bytes, estimated.allocated_bytes, max(peaks.values()),
        estimated.moment, {part.name: part.bytes for part in estimated.parts}, peaks)


def _recipe(case: Case, source: str, folder: Path) -> Recipe:
    """Words are tokens, or several, and what is longer is cut: all examples have one length.

    The words differ, so that all of an embedding is read as in a real text.
    """
    data = folder / "examples.jsonl"
    chance = random.Random(0)
    texts = (" ".join(word(chance.randrange(2**20)) for _ in range(case.length + 8))
             for _ in range(_MICRO_BATCHES * case.batch))
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts),
                    encoding="utf-8")
    return Recipe().with_values({
        "model.source": source, "data.source": str(data), "data.format": "text",
        "data.loss_on": "all", "data.eval_fraction": 0.0, "data.max_length": case.length,
        "training.batch_size": case.batch, "training.gradient_accumulation": 1,
        "training.gradient_checkpointing": False, **case.changes,
    })
