"""What dry runs on this PC taught about the memory estimate, and the estimate corrected by it.

Weights, adapter, gradients and optimizer state are counted exactly and stay as they are. What comes
and goes within a step is scaled by measured / estimated, the overhead (libraries, CUDA context)
replaced by the measured one: medians of the last dry runs. Kept in one small file in the home.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import __version__
from studio.device import Calibration, Device
from studio.files import readable_bytes, write_json_safely
from studio.hardware.cpu import cpu_name
from studio.hardware.parts import PartBytes

if TYPE_CHECKING:
    from studio.hardware.memory import Estimate
    from studio.settings import Settings

FILE_NAME = "calibration.json"
IN_TENSORS = ("activations", "recomputation", "logits")
"""Parts that come and go within a step as live tensors."""
PASSING = (*IN_TENSORS, "slack")
"""The same, with the gaps that they leave."""
KEPT = 5
"""Dry runs kept of each machine; the median is over these."""
LOWEST, HIGHEST = 0.5, 2.0
"""No ratio beyond: an estimate that far off wants mending, not a factor."""
LEAST_TELLING_BYTES = 100_000_000
"""Below, what the allocator rounds up and the libraries do beside the step outweighs the step."""


@dataclass(frozen=True)
class Machine:
    """What a measurement holds for: another device, torch, or way of estimating starts anew."""

    kind: str
    device: str
    torch: str
    studio: str


@dataclass(frozen=True)
class Measurement:
    """One dry run. Bytes; `overhead` is None where nobody told. `time` is Unix seconds."""

    model: str
    method: str
    time: float
    estimated_passing: int
    measured_passing: int
    measured_overhead: int | None


def calibrated(device: Device, settings: Settings) -> Device:
    """`device` with what dry runs in this home measured on it; as it was before the first one."""
    return dataclasses.replace(device, calibration=_calibration(settings, device))


def calibration_sentence(calibration: Calibration) -> str:
    """For a person."""
    count = calibration.dry_runs
    found = []
    if calibration.ratio is not None:
        found.append(f"×{calibration.ratio:.2f} on what comes and goes in a step")
    if calibration.overhead_bytes is not None:
        found.append(f"{readable_bytes(calibration.overhead_bytes)} of overhead")
    return (f"Calibrated on this PC by {count} dry run{'' if count == 1 else 's'}: "
            f"{', '.join(found) or 'nothing to correct'}.")


def calibration_dict(calibration: Calibration | None) -> dict[str, Any] | None:
    """Plain values for JSON."""
    if calibration is None:
        return None
    return {**dataclasses.asdict(calibration), "sentence": calibration_sentence(calibration)}


def corrected(estimate: Estimate, calibration: Calibration | None) -> Estimate:
    """`estimate` as this machine's dry runs would have it; the range moves along."""
    if calibration is None:
        return estimate
    parts = tuple(_corrected(part, calibration) for part in estimate.parts)
    change = sum(part.bytes for part in parts) - estimate.total_bytes
    in_tensors = sum(after.bytes - before.bytes for before, after
                     in zip(estimate.parts, parts, strict=True) if before.name in IN_TENSORS)
    return dataclasses.replace(
        estimate, parts=parts, low_bytes=max(0, estimate.low_bytes + change),
        high_bytes=estimate.high_bytes + change,
        allocated_bytes=estimate.allocated_bytes + in_tensors)


def _corrected(part: PartBytes, calibration: Calibration) -> PartBytes:
    if part.name == "overhead" and calibration.overhead_bytes is not None:
        return PartBytes(part.name, calibration.overhead_bytes,
                         f"{readable_bytes(calibration.overhead_bytes)}, as dry runs on this PC "
                         f"measured it. Without them: {part.formula}")
    if part.name in PASSING and part.bytes and calibration.ratio is not None:
        size = round(part.bytes * calibration.ratio)
        return PartBytes(part.name, size, f"{part.formula} Times {calibration.ratio:.2f}, as dry "
                         f"runs on this PC measured it: {readable_bytes(size)}.")
    return part


def passing_bytes(estimate: Estimate) -> int:
    """What an estimate says of the parts that come and go."""
    return sum(part.bytes for part in estimate.parts if part.name in PASSING)


def _calibration(settings: Settings, device: Device) -> Calibration | None:
    kept = _read(_file(settings)).get(machine_of(device), [])
    if not kept:
        return None
    ratios = [min(HIGHEST, max(LOWEST, one.measured_passing / one.estimated_passing))
              for one in kept if one.estimated_passing >= LEAST_TELLING_BYTES]
    overheads = [one.measured_overhead for one in kept if one.measured_overhead is not None]
    newest = kept[-1]
    return Calibration(
        ratio=statistics.median(ratios) if ratios else None,
        overhead_bytes=round(statistics.median(overheads)) if overheads else None,
        dry_runs=len(kept), model=newest.model, time=newest.time)


def add_measurement(settings: Settings, device: Device, found: Measurement) -> None:
    """Keep one more dry run; the oldest beyond `KEPT` is forgotten."""
    known = _read(_file(settings))
    machine = machine_of(device)
    known[machine] = [*known.get(machine, []), found][-KEPT:]
    write_json_safely(_file(settings), {"machines": [
        {**dataclasses.asdict(machine), "dry_runs": [dataclasses.asdict(one) for one in runs]}
        for machine, runs in known.items()]})


def reset_calibration(settings: Settings) -> bool:
    """Forget every dry run of this home; False where there was none."""
    had_one = _file(settings).exists()
    _file(settings).unlink(missing_ok=True)
    return had_one


@functools.cache
def machine_of(device: Device) -> Machine:
    """The device by its name; a processor by its maker's name."""
    name = cpu_name() if device.kind == "cpu" else device.name
    return Machine(device.kind, name, metadata.version("torch"), __version__)


def _file(settings: Settings) -> Path:
    return settings.home / FILE_NAME


def _read(file: Path) -> dict[Machine, list[Measurement]]:
    """A missing or damaged file counts as none: the next dry run writes it anew."""
    try:
        machines = json.loads(file.read_text(encoding="utf-8"))["machines"]
        return {Machine(one["kind"], one["device"], one["torch"], one["studio"]):
                [_measurement(run) for run in one["dry_runs"]] for one in machines}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _measurement(run: dict[str, Any]) -> Measurement:
    overhead = run["measured_overhead"]
    return Measurement(
        str(run["model"]), str(run["method"]), float(run["time"]), int(run["estimated_passing"]),
        int(run["measured_passing"]), None if overhead is None else int(overhead))
