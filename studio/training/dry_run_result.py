"""What a dry run found: measured beside estimated by part, and how long the whole run would take.

Pure: made from what the measuring process wrote, the recipe and the model's shape.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.files import readable_bytes
from studio.hardware.calibration import IN_TENSORS, PASSING, passing_bytes
from studio.hardware.objectives import OBJECTIVES
from studio.training.phases import Phase

if TYPE_CHECKING:
    from studio.device import Device
    from studio.hardware.memory import Estimate
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe

STEP_PHASES = ("forward pass", "backward pass", "optimizer step")


@dataclass(frozen=True)
class MeasuredPart:
    """One part, or several that only show together. `measured_bytes` is None if nobody tells."""

    name: str
    estimated_bytes: int
    measured_bytes: int | None


@dataclass(frozen=True)
class DryRun:
    """Measured beside estimated. Bytes and seconds.

    `measured_bytes` is the peak of the two steps: reserved memory and CUDA's own on a GPU, resident
    memory elsewhere; None where it ran out. `estimated` is uncalibrated, of the micro-batch that
    was measured. `seconds_at_most` takes every batch for the longest one, `seconds_about` goes by
    the tokens of all; both without evaluations and checkpoints. `tokens` are of the micro-batch,
    padding included, of both answers of a pair; `longest_tokens` of its longest text.
    """

    device: str
    kind: str
    method: str
    estimated: Estimate
    measured_bytes: int | None
    parts: tuple[MeasuredPart, ...]
    phases: tuple[Phase, ...]
    ran_out: str | None
    batch: int | None = None
    tokens: int | None = None
    longest_tokens: int | None = None
    total_steps: int | None = None
    seconds_per_step: float | None = None
    seconds_about: float | None = None
    seconds_at_most: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def estimated_passing_bytes(self) -> int:
        """Of what comes and goes in a step."""
        return passing_bytes(self.estimated)

    @property
    def measured_passing_bytes(self) -> int | None:
        """The same, measured; None where it is not known."""
        found = [part.measured_bytes for part in self.parts
                 if set(part.name.split(", ")) & set(PASSING)]
        known = [size for size in found if size is not None]
        return sum(known) if known and len(known) == len(found) else None

    @property
    def peak_before_steps(self) -> Phase | None:
        """The phase before the steps that held more than they did; None where none did."""
        earlier = [phase for phase in self.phases if not phase.name.startswith(STEP_PHASES)]
        highest = max(earlier, key=_most, default=None)
        steps = [_most(phase) for phase in self.phases if phase.name.startswith(STEP_PHASES)]
        return highest if highest and steps and _most(highest) > max(steps) else None

    def measured_of(self, name: str) -> int | None:
        """The measured bytes of one part."""
        return next((part.measured_bytes for part in self.parts if part.name == name), None)

    @property
    def sentence_before_steps(self) -> str:
        """What needed more memory than the steps; empty where nothing did."""
        found = self.peak_before_steps
        return "" if found is None else (
            f"{found.name.capitalize()} held {readable_bytes(_most(found))} for a moment, more "
            "than the steps.")

    @property
    def sentence(self) -> str:
        """How it went, for a person."""
        if self.ran_out is not None:
            return f"Ran out of memory at: {self.ran_out}."
        assert self.measured_bytes is not None
        off = self.measured_bytes / max(self.estimated.total_bytes, 1) - 1
        if abs(off) < 0.005:
            return "Measured what was estimated."
        return f"Measured {abs(off):.0%} {'more' if off > 0 else 'less'} than estimated."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)
                 if field.name not in ("estimated", "parts", "phases")}
        return {**plain, "sentence": self.sentence,
                "sentence_before_steps": self.sentence_before_steps,
                "choices": list(self.choices),
                "estimated": self.estimated.to_dict(),
                "estimated_bytes": self.estimated.total_bytes,
                "parts": [dataclasses.asdict(part) for part in self.parts],
                "phases": [dataclasses.asdict(phase) for phase in self.phases]}


def _most(phase: Phase) -> int:
    return phase.peak_bytes if phase.reserved_bytes is None else phase.reserved_bytes


def dry_run_of(
    outcome: dict[str, Any], recipe: Recipe, shape: ModelShape, device: Device
) -> DryRun:
    """The result from what `dry_run_process` wrote; its `facts` may be partial if it ran out."""
    facts = outcome["facts"]
    phases = tuple(Phase(**phase) for phase in outcome["phases"])
    estimated = _estimated(recipe, shape, device, facts)
    measured = None if outcome["ran_out"] else _Measured(facts, phases, outcome["outside_bytes"],
                                                         device, estimated)
    tokens, method = facts.get("tokens"), recipe.training.method
    found = DryRun(
        device.name, device.kind, method, estimated, measured.total_bytes if measured else None,
        measured.parts() if measured else tuple(
            MeasuredPart(part.name, part.bytes, None) for part in estimated.parts),
        phases, outcome["ran_out"], facts.get("batch"),
        tokens and tokens * OBJECTIVES[method].rows,
        facts.get("longest_tokens"), facts.get("total_steps"),
        choices=tuple(facts.get("choices", ())))
    return dataclasses.replace(found, **_durations(recipe, facts, phases)) if measured else found


def _estimated(
    recipe: Recipe, shape: ModelShape, device: Device, facts: dict[str, Any]
) -> Estimate:
    """The estimate of the very micro-batch that was measured, without any calibration."""
    from studio.hardware.memory import estimate
    from studio.hardware.workload import Examples

    if "tokens" not in facts:
        return estimate(recipe, shape, device, free_bytes=facts.get("free_bytes"))
    length = math.ceil(facts["tokens"] / facts["batch"])
    values = {"training.batch_size": facts["batch"],
              "training.gradient_checkpointing": facts["checkpointing"]}
    if recipe.data.packing:
        values["data.max_length"] = max(8, min(length, recipe.data.max_length))
    return estimate(recipe.with_values(values), shape, device,
                    examples=Examples(length, facts.get("labelled_share")))


@dataclass(frozen=True)
class _Measured:
    """The numbers of one dry run, brought into the estimate's parts."""

    facts: dict[str, Any]
    phases: tuple[Phase, ...]
    outside_bytes: int | None
    device: Device
    estimated: Estimate

    @property
    def total_bytes(self) -> int:
        """The peak of the steps, as nvidia-smi or the system's monitor would show it."""
        if self.device.kind != "cuda":
            return self._peak()
        outside = self.outside_bytes
        return self._reserved() + (self._estimate_of("overhead") if outside is None else outside)

    def parts(self) -> tuple[MeasuredPart, ...]:
        """In the estimate's order; parts that only show together follow as one."""
        measured = self._by_part()
        inside = [name for names in measured for name in names.split(", ")]
        rest = [part.name for part in self.estimated.parts if part.name not in inside]
        return tuple(
            MeasuredPart(name, sum(map(self._estimate_of, name.split(", "))), size)
            for name, size in [*measured.items(), *((name, None) for name in rest)])

    def _by_part(self) -> dict[str, int | None]:
        facts = self.facts
        on_gpu = self.device.kind == "cuda"
        # On a GPU the counters know weights that no module lists, such as quantised states.
        weights = self._held("loading the base model") if on_gpu else facts["weight_bytes"]
        # Where the estimate's peak has no gradients, the measured one has none either.
        gradients = facts["gradient_bytes"] if self._estimate_of("gradients") else 0
        exact: dict[str, int | None] = {
            "weights": weights, "adapter": facts["adapter_bytes"], "gradients": gradients,
            "optimizer": facts["optimizer_bytes"]}
        rest = self._peak() - sum(filter(None, exact.values()))
        if on_gpu:
            return {**exact, ", ".join(IN_TENSORS): max(0, rest),
                    "slack": max(0, self._reserved() - self._peak()),
                    "overhead": self.outside_bytes}
        overhead = self._libraries_and_data()
        return {**exact, ", ".join(PASSING): max(0, rest - overhead), "overhead": overhead}

    def _libraries_and_data(self) -> int:
        """Of the process, on a processor. What loading left unused counts as slack instead."""
        return max(self.outside_bytes or 0, self._held("preparing the data"))

    def _steps(self) -> list[Phase]:
        return [phase for phase in self.phases if phase.name.startswith(STEP_PHASES)]

    def _peak(self) -> int:
        return max(phase.peak_bytes for phase in self._steps())

    def _reserved(self) -> int:
        return max(phase.reserved_bytes or 0 for phase in self._steps())

    def _held(self, name: str) -> int:
        """At the end of a phase."""
        return next(phase.held_bytes for phase in self.phases if phase.name == name)

    def _estimate_of(self, name: str) -> int:
        return sum(part.bytes for part in self.estimated.parts if part.name == name)


def _durations(
    recipe: Recipe, facts: dict[str, Any], phases: tuple[Phase, ...]
) -> dict[str, Any]:
    """Seconds of a step and of the whole run, from the second step: the first one warms up."""
    second = [phase for phase in phases if phase.name.endswith("of step 2")]
    computing = sum(phase.seconds for phase in second if not phase.name.startswith("optimizer"))
    stepping = sum(phase.seconds for phase in second if phase.name.startswith("optimizer"))
    micro_batch = computing / facts["micro_batches"]
    micro_batches = min(recipe.training.gradient_accumulation,
                        math.ceil(facts["rows"] / recipe.training.batch_size))
    step = micro_batch * micro_batches + stepping
    mean = facts["mean_tokens"] / facts["tokens"]
    average = micro_batch * micro_batches * mean + stepping
    total = facts["total_steps"]
    return {"seconds_per_step": step, "seconds_about": average * total,
            "seconds_at_most": step * total}
