"""The memory estimate beside what others measured on real GPUs.

For each published run: the analytic estimate, the simulated one, and the formula that tutorials
give. What is compared is what the run's counter counted: live tensors, what the allocator held, or
the whole device.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.bench.rows import GIB, PublishedRun
from studio.errors import ModelError
from studio.hardware.memory import Estimate, estimate_workload
from studio.progress import Progress, ShouldStop, Step, never, silent

WAYS = ("analytic", "simulated", "tutorial")
TUTORIAL_BYTES = {"full": (16.0, 0.0), "none": (2.0, 0.5e9), "8bit": (1.0, 0.5e9),
                  "4bit": (0.5, 0.5e9)}
"""Bytes per parameter and fixed bytes, as tutorials have it: 16 for full tuning, 2 for LoRA, half a
byte for QLoRA, and half a gigabyte for the adapter."""

Simulate = Callable[[PublishedRun], int]
"""Live bytes at the peak of a run's step, simulated. Raises ModelError where that cannot be."""


@dataclass(frozen=True)
class Comparison:
    """One published run, and what each way says its counter would have shown, in bytes.

    `is_simulated` is False where the formulas stand in for a simulation that cannot be.
    """

    run: PublishedRun
    predicted: dict[str, int]
    is_simulated: bool = True

    def error(self, way: str) -> float:
        """Absolute percentage error."""
        measured = self.run.measured_bytes
        return 100 * abs(self.predicted[way] - measured) / measured

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, sizes in GiB."""
        return {
            "id": self.run.name, "source": self.run.source, "model": self.run.config_key,
            "counter": self.run.counter, "measured_gib": round(self.run.measured_bytes / GIB, 3),
            **{f"{way}_gib": round(size / GIB, 3) for way, size in self.predicted.items()},
            **{f"{way}_ape": round(self.error(way), 2) for way in self.predicted},
        }


@dataclass(frozen=True)
class Accuracy:
    """Absolute percentage errors of some runs: their median and 90th percentile."""

    runs: int
    median_ape: float
    p90_ape: float

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return {"median_ape": round(self.median_ape, 3), "p90_ape": round(self.p90_ape, 3)}


def compare(
    runs: Sequence[PublishedRun], simulate: Simulate | None, *, progress: Progress = silent,
    stop: ShouldStop = never,
) -> list[Comparison]:
    """Every run by every way. Takes seconds per run, or none where `simulate` is None."""
    found = []
    for number, run in enumerate(runs):
        if stop():
            break
        progress(Step("Comparing published runs", number, len(runs), "runs"))
        found.append(_compared(run, simulate))
    progress(Step("Comparing published runs", len(runs), len(runs), "runs"))
    return found


def _compared(run: PublishedRun, simulate: Simulate | None) -> Comparison:
    estimate = estimate_workload(run.work, run.shape)
    counted = _counted(run, estimate)
    found = {"analytic": counted, "tutorial": tutorial_bytes(run)}
    if simulate is None:
        return Comparison(run, found)
    try:
        live, is_simulated = simulate(run), True
    except ModelError:
        live, is_simulated = estimate.allocated_bytes, False
    # What the allocator and the driver add cannot be seen on the meta device.
    found["simulated"] = live + counted - estimate.allocated_bytes
    return Comparison(run, found, is_simulated)


def _counted(run: PublishedRun, estimate: Estimate) -> int:
    return {"allocated": estimate.allocated_bytes, "reserved": estimate.reserved_bytes,
            "device": estimate.total_bytes}[run.counter]


def tutorial_bytes(run: PublishedRun) -> int:
    """The naive formula, which knows neither batch nor length."""
    each, fixed = TUTORIAL_BYTES["full" if run.work.trains_base else run.work.quantization]
    return round(each * run.shape.parameters + fixed)


def accuracy(errors: Iterable[float]) -> Accuracy:
    """Median and 90th percentile, between neighbours in proportion. Needs at least one."""
    ranked = sorted(errors)
    at = 0.9 * (len(ranked) - 1)
    low = int(at)
    high = min(low + 1, len(ranked) - 1)
    p90 = ranked[low] + (at - low) * (ranked[high] - ranked[low])
    return Accuracy(len(ranked), statistics.median(ranked), p90)


def summary(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Accuracy of each way over all runs and per source, the runs one by one, for JSON."""
    by_source: dict[str, list[Comparison]] = defaultdict(list)
    for each in comparisons:
        by_source[each.run.source].append(each)
    return {
        "rows": len(comparisons), **_by_way(comparisons),
        "sources": [{"source": source, "rows": len(of_source), **_by_way(of_source)}
                    for source, of_source in by_source.items()],
        "not_simulated": [each.run.name for each in comparisons if not each.is_simulated],
        "runs": [each.to_dict() for each in comparisons],
    }


def _by_way(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    ways = [way for way in WAYS if comparisons and way in comparisons[0].predicted]
    return {way: accuracy(each.error(way) for each in comparisons).to_dict() for way in ways}
