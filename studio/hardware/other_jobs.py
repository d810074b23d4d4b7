"""What chat, merging and GGUF export need: the estimate of a job that is no training.

Only the result and how it is told; each job's own arithmetic is in `chat_memory.py` and
`export_memory.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from studio.files import readable_bytes
from studio.hardware.parts import PartBytes

Job = Literal["chat", "merge", "gguf"]
LIBRARIES_BYTES = 0.43e9
"""torch, transformers and peft once imported, and what their first use adds. 411 MB and 20 MB
measured on Linux; training, which needs more libraries, has a figure of its own."""
DOUBT = {"weights": 0.02, "adapter": 0.02, "cache": 0.02, "activations": 0.25, "logits": 0.3,
         "overhead": 0.2, "slack": 0.5}
"""Share by which each part may be off: a judgement, widest where least was measured."""


@dataclass(frozen=True)
class JobEstimate:
    """The peak memory of a job, and the disk that its result takes.

    `place` is where the memory is: the GPU's own, or this PC's. `moment` says when the peak is,
    `basis` what the range rests on, `assumptions` what was taken for granted.
    """

    job: Job
    place: Literal["gpu", "main memory"]
    parts: tuple[PartBytes, ...]
    moment: str
    basis: str
    assumptions: tuple[str, ...] = ()
    disk: tuple[PartBytes, ...] = ()

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return sum(piece.bytes for piece in self.parts)

    @property
    def low_bytes(self) -> int:
        """The least that it may need."""
        return self.total_bytes - self._doubt_bytes

    @property
    def high_bytes(self) -> int:
        """The most that it may need."""
        return self.total_bytes + self._doubt_bytes

    @property
    def disk_bytes(self) -> int:
        """What the result takes on disk."""
        return sum(piece.bytes for piece in self.disk)

    @property
    def _doubt_bytes(self) -> int:
        return round(sum(piece.bytes * DOUBT[piece.name] for piece in self.parts))

    def to_dict(self, free_bytes: int, disk_free_bytes: int) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "job": self.job, "place": self.place, "total_bytes": self.total_bytes,
            "low_bytes": self.low_bytes, "high_bytes": self.high_bytes,
            "parts": {piece.name: piece.bytes for piece in self.parts},
            "formulas": {piece.name: piece.formula for piece in self.parts},
            "moment": self.moment, "basis": self.basis, "assumptions": list(self.assumptions),
            "free_bytes": free_bytes, "fits": self.total_bytes <= free_bytes,
            "disk_bytes": self.disk_bytes,
            "disk": {piece.name: piece.bytes for piece in self.disk},
            "disk_formulas": {piece.name: piece.formula for piece in self.disk},
            "disk_free_bytes": disk_free_bytes, "disk_fits": self.disk_bytes <= disk_free_bytes,
            "verdict": memory_verdict(self, free_bytes),
        }


def memory_verdict(found: JobEstimate, free_bytes: int) -> str:
    """What it takes against what is free, in a sentence."""
    where = "of GPU memory" if found.place == "gpu" else "of memory"
    need, free = readable_bytes(found.total_bytes), readable_bytes(free_bytes)
    if found.high_bytes <= free_bytes:
        return f"Takes about {need} {where}; {free} are free."
    if found.total_bytes <= free_bytes:
        return (f"Tight: takes about {need} {where}, and up to "
                f"{readable_bytes(found.high_bytes)} are possible; {free} are free.")
    short = readable_bytes(found.total_bytes - free_bytes)
    return f"Takes about {need} {where}, but {free} are free: {short} too little."
