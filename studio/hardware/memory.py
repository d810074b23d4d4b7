"""What a recipe needs: an estimate of the peak memory of training, part by part.

A pure function of recipe, model shape and device; nothing is loaded or measured. The total is
what nvidia-smi shows on a GPU, or the resident memory on a CPU. The peak is the highest of
the moments of a step: the loss, the first or last layer's backward pass, the optimizer's step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.files import readable_bytes
from studio.hardware import static_memory
from studio.hardware.calibration import corrected
from studio.hardware.moments import moments
from studio.hardware.parts import PartBytes
from studio.hardware.slack import slack
from studio.hardware.workload import UNKNOWN, Examples, Workload, workload_of

if TYPE_CHECKING:
    from studio.device import Device
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe

COMFORTABLE_SHARE = 0.8
_DOUBT = {"weights": 0.02, "adapter": 0.02, "gradients": 0.05, "optimizer": 0.05,
          "activations": 0.15, "recomputation": 0.3, "logits": 0.2, "overhead": 0.3, "slack": 0.5}
"""Share by which each part may be off: a judgement, widest where least was measured."""


@dataclass(frozen=True)
class Estimate:
    """The peak of a training step. `moment` says when it is; parts add up to the total.

    `allocated_bytes` is the most that live tensors take, torch's own count: its peak may be at
    another moment than that of the total. `basis` says what the range from low to high rests on.
    """

    parts: tuple[PartBytes, ...]
    moment: str
    checkpointing: bool
    low_bytes: int
    high_bytes: int
    allocated_bytes: int
    basis: str
    paged_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return sum(piece.bytes for piece in self.parts)

    @property
    def reserved_bytes(self) -> int:
        """What torch's allocator holds: without overhead and paged optimizer states."""
        held = sum(piece.bytes for piece in self.parts if piece.name != "overhead")
        return held - self.paged_bytes

    def to_dict(self, free_bytes: int | None = None) -> dict[str, Any]:
        """Plain values for JSON; `fits` is null where `free_bytes` is not given."""
        return {
            "total_bytes": self.total_bytes, "low_bytes": self.low_bytes,
            "high_bytes": self.high_bytes,
            "parts": {piece.name: piece.bytes for piece in self.parts},
            "formulas": {piece.name: piece.formula for piece in self.parts},
            "moment": self.moment, "basis": self.basis,
            "allocated_bytes": self.allocated_bytes, "reserved_bytes": self.reserved_bytes,
            "gradient_checkpointing": self.checkpointing,
            "free_bytes": free_bytes,
            "fits": None if free_bytes is None else self.total_bytes <= free_bytes,
            "verdict": None if free_bytes is None else verdict(self, free_bytes),
        }


def estimate(
    recipe: Recipe, shape: ModelShape, device: Device, *, free_bytes: int | None = None,
    examples: Examples = UNKNOWN,
) -> Estimate:
    """The memory that training `recipe` needs. Takes milliseconds.

    `examples` is what is known of the data, else the recipe's maximum length counts.
    Checkpointing on auto is decided for `free_bytes`, or for the whole device where not given.
    Corrected by what dry runs measured on `device`, where it carries a calibration.
    Raises ModelError for target modules that the model does not have.
    """
    free = device.total_bytes if free_bytes is None else free_bytes
    switch = recipe.training.gradient_checkpointing
    on = switch is True or (
        switch == "auto" and checkpointing_needed(recipe, shape, device, free, examples=examples)
    )
    work = workload_of(recipe, shape, device, checkpointing=on, examples=examples)
    return corrected(estimate_workload(work, shape), device.calibration)


def checkpointing_needed(
    recipe: Recipe, shape: ModelShape, device: Device, free_bytes: int, *,
    examples: Examples = UNKNOWN,
) -> bool:
    """True where training without gradient checkpointing might not fit into `free_bytes`.

    Decided on the high end of the range: a run that dies costs more than the time saved.
    """
    plain = workload_of(recipe, shape, device, checkpointing=False, examples=examples)
    return corrected(estimate_workload(plain, shape), device.calibration).high_bytes > free_bytes


def estimate_workload(work: Workload, shape: ModelShape) -> Estimate:
    """The estimate of a step, every `auto` decided."""
    steady = [static_memory.weights(work, shape), static_memory.adapter(work),
              static_memory.optimizer(work)]
    found = [(moment, slack(work, shape, moment)) for moment in moments(work, shape)]
    peak, gaps = max(found, key=lambda pair: pair[0].bytes + pair[1].bytes)
    pieces = {piece.name: piece for piece in
              [*steady, *peak.parts, static_memory.overhead(work), gaps]}
    parts = tuple(pieces[name] for name in _DOUBT)
    doubt = sum(piece.bytes * _DOUBT[piece.name] for piece in parts)
    total = sum(piece.bytes for piece in parts)
    # Paged states live in memory that torch does not count.
    paged = steady[-1].bytes if work.optimizer.startswith("paged") else 0
    allocated = sum(piece.bytes for piece in steady) - paged + max(m.bytes for m, _ in found)
    return Estimate(parts, peak.name, work.checkpointing, round(total - doubt),
                    round(total + doubt), allocated, _basis(work), paged)


def _basis(work: Workload) -> str:
    """What the range rests on."""
    if work.device == "cpu":
        return ("Rests on real steps measured on a processor, models of a dozen families: "
                "launch.py bench cpu-memory repeats them.")
    if work.device == "mps":
        return "Counted as on an NVIDIA GPU; nothing was measured on Apple's."
    return ("Rests on 106 runs that others published, half of them met within 1 %, nine in ten "
            "within 4 %: launch.py bench memory repeats the comparison.")


def verdict(estimate: Estimate, free_bytes: int) -> str:
    """Whether it fits, in a sentence."""
    need, free = readable_bytes(estimate.total_bytes), readable_bytes(free_bytes)
    if estimate.high_bytes <= free_bytes * COMFORTABLE_SHARE:
        return f"Fits comfortably: about {need} of {free} free."
    if estimate.high_bytes <= free_bytes:
        return f"Fits: about {need} of {free} free."
    if estimate.total_bytes <= free_bytes:
        return (f"Tight: about {need} of {free} free, and up to "
                f"{readable_bytes(estimate.high_bytes)} are possible.")
    short = readable_bytes(estimate.total_bytes - free_bytes)
    return f"Does not fit: about {need} are needed, {free} are free, {short} too little."
