"""What a simulation found, and where it disagrees with the estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.hardware.memory import Estimate

NOTABLE_SHARE = 0.05
"""Differences up to here, of the larger total, are not worth a word."""
COUNTED = ("weights", "adapter", "gradients", "optimizer", "activations", "recomputation",
           "logits", "workspace")
"""The parts of a simulation, named as in an `Estimate`; that has no workspace of its own."""


@dataclass(frozen=True)
class Simulated:
    """The peak of one simulated step: what torch's own counter of live bytes would show.

    `parts` are the bytes alive at the peak by kind, in the order of `COUNTED`; `moment` says when
    the peak is. `layers_run` of the model's `layers` were run, the rest follow from them.
    """

    peak_bytes: int
    parts: Mapping[str, int]
    moment: str
    seconds: float
    layers_run: int
    layers: int


@dataclass(frozen=True)
class Difference:
    """One part, or "total", where estimate and simulation are apart."""

    name: str
    estimated_bytes: int
    simulated_bytes: int

    @property
    def share(self) -> float:
        """How far the estimate is above (or below, negative) the simulation, of the simulation.

        Infinite where the simulation found nothing at all.
        """
        if not self.simulated_bytes:
            return float("inf")
        return self.estimated_bytes / self.simulated_bytes - 1


def difference(
    estimate: Estimate, simulated: Simulated, *, above: float = NOTABLE_SHARE
) -> list[Difference]:
    """Total first, then parts, that differ by more than `above` of the simulated peak.

    Compared with what torch would count: overhead and slack of the estimate stay out. A part's
    difference is held against the whole peak, for a small part may differ by half and not matter.
    """
    guessed = {piece.name: piece.bytes for piece in estimate.parts if piece.name in COUNTED}
    rows = [Difference("total", estimate.allocated_bytes, simulated.peak_bytes)]
    rows += [Difference(name, guessed.get(name, 0), simulated.parts.get(name, 0))
             for name in COUNTED]
    allowed = above * simulated.peak_bytes
    return [row for row in rows if abs(row.estimated_bytes - row.simulated_bytes) > allowed]
