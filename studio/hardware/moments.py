"""The moments of a training step that can be its peak, each with what is held just then.

A step computes forward, the loss, backward from the last layer to the first, and the optimizer's
update; memory that comes in one goes in another. Sizes are counted in `step_memory.py` and
`static_memory.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.hardware import passes, static_memory, step_memory
from studio.hardware.objectives import OBJECTIVES
from studio.hardware.parts import PartBytes, gone, joined, part
from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

LOSS = "the loss"
LAST_LAYER = "the backward pass of the last layer"
FIRST_LAYER = "the backward pass of the first layer, when every gradient is there"
UPDATE = "the optimizer's step"
EVALUATION = "the evaluation on held-out examples"
REFERENCE = "the reference model's answer"
WRITING = "the writing of answers to learn from"


@dataclass(frozen=True)
class Moment:
    """`parts` are those that come and go, as they are at this moment."""

    name: str
    parts: tuple[PartBytes, ...]

    @property
    def bytes(self) -> int:
        """All that is held now and not always."""
        return sum(piece.bytes for piece in self.parts)

    @property
    def length_bytes(self) -> int:
        """Of it, what grows with the examples' length; the rest has one size in every step."""
        return self.bytes - sum(p.bytes for p in self.parts if p.name == "gradients")


def moments(work: Workload, shape: ModelShape) -> list[Moment]:
    """Each moment that can be the peak."""
    gradients = static_memory.gradients(work, shape)
    activations = step_memory.activations(work, shape)
    layer = step_memory.recomputation(work, shape)
    loss = step_memory.logits(work, shape)
    # Autocast remembers its copies through the forward pass, autograd where it computes none twice.
    cast = static_memory.cast_copies(work, shape)
    kept = activations if work.checkpointing else joined(activations, cast)
    found = [
        Moment(LOSS, (_early(gradients, work, LOSS), joined(activations, cast),
                      gone(layer, LOSS), loss)),
        Moment(LAST_LAYER, (_early(gradients, work, LAST_LAYER), kept, layer,
                            gone(loss, LAST_LAYER))),
        Moment(UPDATE, (_updating(gradients, work), gone(activations, UPDATE),
                        gone(layer, UPDATE), gone(loss, UPDATE))),
    ]
    if work.trains_base:
        found.append(Moment(FIRST_LAYER, (gradients, gone(activations, FIRST_LAYER), layer,
                                          gone(loss, FIRST_LAYER))))
    return found + _without_gradients(work, shape, activations, loss)


def _without_gradients(
    work: Workload, shape: ModelShape, activations: PartBytes, loss: PartBytes
) -> list[Moment]:
    """Moments at which a pass keeps nothing for itself. Gradients were used up by then."""
    found = []
    none = part("gradients", 0, "Used up by the step before")
    forward = passes.forward_pass(work, shape)
    if work.evaluates:
        found.append(Moment(EVALUATION, (none, gone(activations, EVALUATION), forward,
                                         gone(loss, EVALUATION))))
    if work.compares:
        # The policy's pass is finished but for its backward, the reference's comes on top; answers
        # of its own are shown to the reference as soon as they are written.
        writes = OBJECTIVES[work.objective].writes
        kept = gone(activations, REFERENCE) if writes else activations
        found.append(Moment(REFERENCE, (none, kept, forward, loss)))
    if OBJECTIVES[work.objective].writes:
        found.append(Moment(WRITING, (none, passes.writing(work, shape), gone(forward, WRITING),
                                      gone(loss, WRITING))))
    return found


def _early(gradients: PartBytes, work: Workload, when: str) -> PartBytes:
    """The gradients before the backward pass: there only if earlier micro-batches left them.

    An adapter's are counted always, they are small.
    """
    if work.trains_base and not work.accumulates:
        return gone(gradients, when)
    return gradients


def _updating(gradients: PartBytes, work: Workload) -> PartBytes:
    """The gradients, and what the optimizer's own step copies for a moment."""
    copy = static_memory.optimizer_step_bytes(work)
    if not copy:
        return gradients
    return part("gradients", gradients.bytes + copy,
                f"{gradients.formula} The optimizer's step copies {readable_bytes(copy)} of its "
                "state for a moment: together")
