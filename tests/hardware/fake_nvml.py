"""A hand-made NVML: the functions of pynvml that the studio calls, over cards described here.

Answers as nvidia-ml-py 13 does: names as text, memory in bytes, power in milliwatts, the CUDA
version as 13000 for 13.0, and an NVMLError for whatever a card does not support.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

LIBRARY_NOT_FOUND, DRIVER_NOT_LOADED, NOT_SUPPORTED, GPU_IS_LOST = 12, 9, 3, 15


class NVMLError(Exception):
    """pynvml's error: `value` is NVML's own number."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


@dataclass
class Card:
    """A GPU. `silent` names the functions it does not support; `slices` are its MIG devices."""

    name: str = "NVIDIA GeForce RTX 4070"
    total: int = 12_000_000_000
    used: int = 1_000_000_000
    capability: tuple[int, int] = (8, 9)
    utilization: int = 37
    celsius: int = 61
    milliwatts: int = 145_500
    limit_milliwatts: int = 200_000
    silent: set[str] = field(default_factory=set)
    slices: list[Card] = field(default_factory=list)
    lost: bool = False


class FakeNvml:
    """Stands where the module pynvml would."""

    NVMLError = NVMLError
    NVML_ERROR_LIBRARY_NOT_FOUND = LIBRARY_NOT_FOUND

    def __init__(self, *cards: Card, cuda: int = 13000, init_error: int = 0) -> None:
        self.cards = list(cards)
        self.cuda = cuda
        self.init_error = init_error
        self.open_count = 0

    def _check(self, card: Card, function: str) -> None:
        if card.lost:
            raise NVMLError(GPU_IS_LOST)
        if function in card.silent:
            raise NVMLError(NOT_SUPPORTED)

    def nvmlInit(self) -> None:
        if self.init_error:
            raise NVMLError(self.init_error)
        self.open_count += 1

    def nvmlShutdown(self) -> None:
        self.open_count -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return self.cuda

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        self._check(self.cards[index], "nvmlDeviceGetHandleByIndex")
        return self.cards[index]

    def nvmlDeviceGetName(self, card: Card) -> str:
        self._check(card, "nvmlDeviceGetName")
        return card.name

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> Any:
        self._check(card, "nvmlDeviceGetMemoryInfo")
        return SimpleNamespace(total=card.total, used=card.used, free=card.total - card.used)

    def nvmlDeviceGetCudaComputeCapability(self, card: Card) -> tuple[int, int]:
        self._check(card, "nvmlDeviceGetCudaComputeCapability")
        return card.capability

    def nvmlDeviceGetUtilizationRates(self, card: Card) -> Any:
        self._check(card, "nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=card.utilization, memory=20)

    def nvmlDeviceGetTemperature(self, card: Card, sensor: int) -> int:
        self._check(card, "nvmlDeviceGetTemperature")
        assert sensor == 0
        return card.celsius

    def nvmlDeviceGetPowerUsage(self, card: Card) -> int:
        self._check(card, "nvmlDeviceGetPowerUsage")
        return card.milliwatts

    def nvmlDeviceGetEnforcedPowerLimit(self, card: Card) -> int:
        self._check(card, "nvmlDeviceGetEnforcedPowerLimit")
        return card.limit_milliwatts

    def nvmlDeviceGetMigMode(self, card: Card) -> list[int]:
        self._check(card, "nvmlDeviceGetMigMode")
        if not card.slices:
            raise NVMLError(NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:
        if index >= len(card.slices):
            raise NVMLError(6)
        return card.slices[index]
