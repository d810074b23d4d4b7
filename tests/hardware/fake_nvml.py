"""A hand-made NVML: the functions of pynvml that the studio calls, over cards described here.

Answers as nvidia-ml-py 13 does: names as text, memory in bytes, power in milliwatts, the CUDA
version as 13000 for 13.0, and an NVMLError for whatever a card does not support.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

LIBRARY_NOT_FOUND, DRIVER_NOT_LOADED, NOT_SUPPORTED, GPU_IS_LOST, UNKNOWN = 12, 9, 3, 15, 999
NOT_FOUND, FUNCTION_NOT_FOUND = 6, 13


class NVMLError(Exception):
    """pynvml's error: `value` is NVML's own number."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


@dataclass
class Card:
    """A GPU. `silent` names the functions it does not support; `slices` are its MIG devices.

    `programs` maps process numbers to bytes (None: the system does not tell), `drawing` are
    those on the graphics list.
    """

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
    uuid: str = ""
    driver_model: int | None = None
    programs: dict[int, int | None] = field(default_factory=dict)
    drawing: dict[int, int | None] = field(default_factory=dict)


class FakeNvml:
    """Stands where the module pynvml would. `failing` maps names of functions to the number of
    the error that they raise."""

    NVMLError = NVMLError

    def __init__(self, *cards: Card, cuda: int = 13000, driver: str = "580.65.06",
                 init_error: int = 0, failing: dict[str, int] | None = None) -> None:
        self.cards = list(cards)
        for number, card in enumerate(self.cards):
            card.uuid = card.uuid or f"GPU-{number:08d}-aaaa"
            for place, part in enumerate(card.slices):
                part.uuid = part.uuid or f"MIG-{number:04d}{place:04d}-bbbb"
        self.cuda = cuda
        self.driver = driver
        self.init_error = init_error
        self.failing = failing or {}
        self.open_count = 0

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in self.failing:
            number = self.failing[name]

            def fail(*_: Any) -> None:
                raise NVMLError(number)

            return fail
        return super().__getattribute__(name)

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
        return self.driver

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

    def nvmlDeviceGetUUID(self, card: Card) -> str:
        self._check(card, "nvmlDeviceGetUUID")
        return card.uuid

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> Any:
        self._check(card, "nvmlDeviceGetMemoryInfo")
        return SimpleNamespace(total=card.total, used=card.used, free=card.total - card.used)

    def nvmlDeviceGetCudaComputeCapability(self, card: Card) -> tuple[int, int]:
        self._check(card, "nvmlDeviceGetCudaComputeCapability")
        return card.capability

    def nvmlDeviceGetUtilizationRates(self, card: Card) -> Any:
        self._check(card, "nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=card.utilization, memory=20)

    def nvmlDeviceGetTemperatureV(self, card: Card, sensor: int) -> int:
        raise NVMLError(FUNCTION_NOT_FOUND)

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

    def nvmlDeviceGetDriverModel_v2(self, card: Card) -> list[int]:
        self._check(card, "nvmlDeviceGetDriverModel_v2")
        if card.driver_model is None:
            raise NVMLError(NOT_SUPPORTED)
        return [card.driver_model, card.driver_model]

    def nvmlDeviceGetDriverModel_v1(self, card: Card) -> list[int]:
        return self.nvmlDeviceGetDriverModel_v2(card)

    def nvmlDeviceGetComputeRunningProcesses_v3(self, card: Card) -> list[Any]:
        self._check(card, "nvmlDeviceGetComputeRunningProcesses_v3")
        return _listed(card.programs)

    def nvmlDeviceGetComputeRunningProcesses_v2(self, card: Card) -> list[Any]:
        self._check(card, "nvmlDeviceGetComputeRunningProcesses_v2")
        return _listed(card.programs)

    def nvmlDeviceGetGraphicsRunningProcesses_v3(self, card: Card) -> list[Any]:
        self._check(card, "nvmlDeviceGetGraphicsRunningProcesses_v3")
        return _listed(card.drawing)

    def nvmlDeviceGetGraphicsRunningProcesses_v2(self, card: Card) -> list[Any]:
        self._check(card, "nvmlDeviceGetGraphicsRunningProcesses_v2")
        return _listed(card.drawing)

    def nvmlDeviceGetMigMode(self, card: Card) -> list[int]:
        self._check(card, "nvmlDeviceGetMigMode")
        if not card.slices:
            raise NVMLError(NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:
        if index >= len(card.slices):
            raise NVMLError(NOT_FOUND)
        return card.slices[index]


def _listed(programs: dict[int, int | None]) -> list[Any]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in programs.items()]


FUNCTIONS = sorted(name for name in vars(FakeNvml) if name.startswith("nvml"))
"""Every function of NVML that the studio calls."""
