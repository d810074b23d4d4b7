"""What an allocator holds beyond what is asked of it.

torch's CUDA allocator keeps freed blocks for later tensors; where steps differ in length, or where
whole logits of several formats come and go, they do not fit. The shares are what IBM's benchmark
shows between torch's count and nvidia-smi's (tests/bench/device.csv), and a model of the allocator
(`simulate/allocator.py`) gives the same. On a CPU the C library decides (`cpu_memory.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.hardware import cpu_memory
from studio.hardware.moments import UPDATE, Moment
from studio.hardware.parts import PartBytes, part
from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

EVEN_SHARE = 0.1
"""Of what comes and goes in a step, where every step is alike."""
WHOLE_LOGITS_SHARE = 0.35
"""The same where whole logits are made: the largest tensors, in two or three sizes."""
UNEVEN_SHARE = 1.0
"""Where lengths differ from step to step: as much again as is live. One run in ten has a third of
it, one in ten half more, by the order in which the lengths come."""


def slack(work: Workload, shape: ModelShape, moment: Moment) -> PartBytes:
    """What the allocator holds unused at `moment`."""
    if work.device == "cpu":
        return cpu_memory.slack(work, shape, updates=moment.name == UPDATE)
    return _gpu_slack(work, moment)


def _gpu_slack(work: Workload, moment: Moment) -> PartBytes:
    is_whole = work.loss in ("full", "half", "kernel")
    even = WHOLE_LOGITS_SHARE if is_whole else EVEN_SHARE
    alike = moment.bytes - moment.length_bytes
    if work.lengths_vary is False:
        return part("slack", EVEN_SHARE * alike + even * moment.length_bytes,
                    f"{even:.0%} of {readable_bytes(moment.bytes)} that come and go, kept "
                    "by the allocator")
    share = UNEVEN_SHARE if work.lengths_vary else (UNEVEN_SHARE + even) / 2
    return part("slack", EVEN_SHARE * alike + share * moment.length_bytes,
                f"{share:.0%} of {readable_bytes(moment.length_bytes)} whose size differs from "
                "step to step, kept by the allocator in pieces that fit no later tensor"
                + (f", and {EVEN_SHARE:.0%} of {readable_bytes(alike)}" if alike else ""))
