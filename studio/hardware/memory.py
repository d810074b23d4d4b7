"""What a recipe needs: an estimate of the peak memory of training, part by part.

A pure function of recipe, model shape and device; nothing is loaded or measured. The total is
what nvidia-smi shows on a GPU, or the resident memory on a CPU. The peak is the highest of
the moments of a step: the loss, the first or last layer's backward pass, the optimizer's step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.files import readable_bytes
from studio.hardware import static_memory, step_memory
from studio.hardware.layer_memory import layer_bytes
from studio.hardware.parts import PartBytes, gone, part
from studio.hardware.workload import Workload, workload_of

if TYPE_CHECKING:
    from studio.device import Device
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe

GPU_SLACK_SHARE = 0.08
"""Of what comes and goes in a step: blocks that torch's allocator keeps without filling them."""
CPU_SLACK_SHARE = 0.6
"""Of all that the layers compute in a step, kept or computed again: on Linux the C library does not
give freed blocks back. Measured 0.5 to 0.8 on a 135M model in float32, with and without
checkpointing; nothing of it under MALLOC_MMAP_THRESHOLD_=65536."""
CPU_RETURNED_BYTES = 32 * 2**20
"""Blocks from here on it does give back (glibc's largest mmap threshold)."""
COMFORTABLE_SHARE = 0.8
_DOUBT = {"weights": 0.02, "adapter": 0.02, "gradients": 0.05, "optimizer": 0.05,
          "activations": 0.15, "recomputation": 0.3, "logits": 0.2, "overhead": 0.3, "slack": 0.5}
"""Share by which each part may be off: a judgement, widest where least was measured."""


@dataclass(frozen=True)
class Estimate:
    """The peak of a training step. `moment` says when it is; parts add up to the total."""

    parts: tuple[PartBytes, ...]
    moment: str
    checkpointing: bool
    low_bytes: int
    high_bytes: int

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return sum(piece.bytes for piece in self.parts)

    @property
    def allocated_bytes(self) -> int:
        """Without overhead and slack: what torch's own counters show at the peak."""
        return sum(p.bytes for p in self.parts if p.name not in ("overhead", "slack"))

    def to_dict(self, free_bytes: int | None = None) -> dict[str, Any]:
        """Plain values for JSON; `fits` is null where `free_bytes` is not given."""
        return {
            "total_bytes": self.total_bytes, "low_bytes": self.low_bytes,
            "high_bytes": self.high_bytes,
            "parts": {piece.name: piece.bytes for piece in self.parts},
            "formulas": {piece.name: piece.formula for piece in self.parts},
            "moment": self.moment, "gradient_checkpointing": self.checkpointing,
            "free_bytes": free_bytes,
            "fits": None if free_bytes is None else self.total_bytes <= free_bytes,
            "verdict": None if free_bytes is None else verdict(self, free_bytes),
        }


def estimate(
    recipe: Recipe, shape: ModelShape, device: Device, *, free_bytes: int | None = None,
    length: int | None = None,
) -> Estimate:
    """The memory that training `recipe` needs. Takes milliseconds.

    `length` is the longest example in tokens where it is known, else `data.max_length` counts.
    Checkpointing on auto is decided for `free_bytes`, or for the whole device where not given.
    Raises ModelError for target modules that the model does not have.
    """
    free = device.total_bytes if free_bytes is None else free_bytes
    switch = recipe.training.gradient_checkpointing
    on = switch is True or (
        switch == "auto" and checkpointing_needed(recipe, shape, device, free, length=length)
    )
    return estimate_workload(workload_of(recipe, shape, device, checkpointing=on, length=length),
                             shape)


def checkpointing_needed(
    recipe: Recipe, shape: ModelShape, device: Device, free_bytes: int, *,
    length: int | None = None,
) -> bool:
    """True where training without gradient checkpointing might not fit into `free_bytes`.

    Decided on the high end of the range: a run that dies costs more than the time saved.
    """
    plain = workload_of(recipe, shape, device, checkpointing=False, length=length)
    return estimate_workload(plain, shape).high_bytes > free_bytes


def estimate_workload(work: Workload, shape: ModelShape) -> Estimate:
    """The estimate of a step, every `auto` decided."""
    steady = [static_memory.weights(work, shape), static_memory.adapter(work),
              static_memory.optimizer(work)]
    moment, passing = max(_moments(work, shape), key=lambda found: _sum(found[1]))
    found = {piece.name: piece for piece in
             [*steady, *passing, static_memory.overhead(work), _slack(work, shape, passing)]}
    parts = tuple(found[name] for name in _DOUBT)
    doubt = sum(piece.bytes * _DOUBT[piece.name] for piece in parts)
    total = _sum(parts)
    return Estimate(parts, moment, work.checkpointing, round(total - doubt), round(total + doubt))


def _slack(work: Workload, shape: ModelShape, passing: list[PartBytes]) -> PartBytes:
    """What the allocator holds beyond what is asked of it."""
    if work.device != "cpu":
        return part("slack", GPU_SLACK_SHARE * _sum(passing),
                    f"{GPU_SLACK_SHARE:.0%} of {readable_bytes(_sum(passing))} that come and go, "
                    "kept by the allocator")
    if work.tokens * shape.hidden * work.activation_bytes >= CPU_RETURNED_BYTES:
        return part("slack", 0, "The system takes back blocks as large as these")
    churn = work.tokens * shape.layers * layer_bytes(work, shape).kept
    return part("slack", CPU_SLACK_SHARE * churn,
                f"{CPU_SLACK_SHARE:.0%} of {readable_bytes(churn)} that all layers compute in a "
                "step, gaps that the system's allocator does not give back")


Moment = tuple[str, list[PartBytes]]


def _moments(work: Workload, shape: ModelShape) -> list[Moment]:
    """Each moment that can be the peak, with the parts that come and go as they are then."""
    gradients = static_memory.gradients(work)
    activations = step_memory.activations(work, shape)
    layer = step_memory.recomputation(work, shape)
    loss = step_memory.logits(work, shape)
    at_loss, at_layer = "the loss", "the backward pass of the last layer"
    found = [
        (at_loss, [_early(gradients, work, at_loss), activations, gone(layer, at_loss), loss]),
        (at_layer, [_early(gradients, work, at_layer), activations, layer, gone(loss, at_layer)]),
    ]
    if work.trains_base:
        first = "the backward pass of the first layer, when every gradient is there"
        found.append((first, [gradients, gone(activations, first), layer, gone(loss, first)]))
    step = "the optimizer's step"
    copy = static_memory.optimizer_step_bytes(work)
    stepping = part("gradients", gradients.bytes + copy,
                    f"{gradients.formula} The optimizer's step copies {readable_bytes(copy)} of "
                    "its state for a moment: together") if copy else gradients
    found.append((step, [stepping, gone(activations, step), gone(layer, step), gone(loss, step)]))
    return found


def _early(gradients: PartBytes, work: Workload, when: str) -> PartBytes:
    """The gradients before the backward pass: there only if earlier micro-batches left them.

    An adapter's are counted always, they are small.
    """
    if work.trains_base and not work.accumulates:
        return gone(gradients, when)
    return gradients


def _sum(parts: list[PartBytes] | tuple[PartBytes, ...]) -> int:
    return sum(piece.bytes for piece in parts)


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
