"""What is known of an NVIDIA GPU, its load, its programs, and its driver. Data only.

Filled in by `nvml.py`; None always means that the card or the driver does not tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DriverModel = Literal["WDDM", "TCC", "MCDM"]
"""Windows alone has them; under WDDM Windows itself manages the memory."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU or MIG slice. None: the card or driver does not tell.

    `card_uuid` is of the whole card that a MIG slice is part of. `is_lost`: NVML lists the card,
    but it no longer answers.
    """

    index: int
    name: str
    total_bytes: int | None
    used_bytes: int | None
    free_bytes: int | None
    compute_capability: tuple[int, int] | None
    utilization_percent: int | None
    temperature_celsius: int | None
    power_watts: float | None
    power_limit_watts: float | None
    is_mig: bool = False
    uuid: str | None = None
    card_uuid: str | None = None
    driver_model: DriverModel | None = None
    is_lost: bool = False

    @property
    def computes_bfloat16(self) -> bool | None:
        """bfloat16 arithmetic came with compute capability 8.0 (Ampere); None: unknown."""
        return None if self.compute_capability is None else self.compute_capability >= (8, 0)


@dataclass(frozen=True)
class Load:
    """What a GPU is doing right now. None: the card does not tell."""

    used_bytes: int | None
    total_bytes: int | None
    utilization_percent: int | None
    temperature_celsius: int | None
    power_watts: float | None


@dataclass(frozen=True)
class GpuProcess:
    """A program on a GPU. `used_bytes` is None where the system does not tell (Windows)."""

    pid: int
    used_bytes: int | None


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver. `cuda` is the newest CUDA it can run, such as (13, 0)."""

    version: str | None
    cuda: tuple[int, int] | None
