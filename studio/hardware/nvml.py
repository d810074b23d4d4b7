"""Talks to NVIDIA's management library (NVML), where any question may fail on its own.

The only module that knows `pynvml` by name. A value that a card does not support, a lost card, or
a driver without the function gives None, never an error. Units are converted to bytes, watts and
degrees Celsius. Knows nothing of torch or CUDA memory inside this process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Library = Any
"""`pynvml`, or anything with the functions of it that are used here."""
Handle = Any


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU or MIG slice. None: the card or driver does not tell."""

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

    @property
    def computes_bfloat16(self) -> bool | None:
        """bfloat16 arithmetic came with compute capability 8.0 (Ampere); None: unknown."""
        return None if self.compute_capability is None else self.compute_capability >= (8, 0)


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver. `cuda` is the newest CUDA it can run, such as (13, 0)."""

    version: str | None
    cuda: tuple[int, int] | None


@dataclass(frozen=True)
class Slot:
    """A GPU's handle; for a MIG slice `card` is the whole card it is part of."""

    handle: Handle
    card: Handle
    is_mig: bool


class Nvml:
    """An initialised NVML. Made by `open_nvml`; `close` must be called once."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._open = True

    def close(self) -> None:
        """Shut NVML down; a second call does nothing."""
        if self._open:
            self._open = False
            self._ask("nvmlShutdown")

    def driver(self) -> Driver:
        """Version of the driver and of the newest CUDA it can run."""
        # The _v2 call asks the driver itself, the older one guesses from the library's version.
        number = self._ask("nvmlSystemGetCudaDriverVersion_v2")
        cuda = None if not number else (number // 1000, number % 1000 // 10)
        return Driver(self._text("nvmlSystemGetDriverVersion"), cuda)

    def slots(self) -> list[Slot]:
        """Every GPU in NVML's order; a card that is cut into MIG slices gives its slices."""
        found: list[Slot] = []
        for index in range(self._ask("nvmlDeviceGetCount") or 0):
            card = self._ask("nvmlDeviceGetHandleByIndex", index)
            if card is not None:
                found += self._slices(card) or [Slot(card, card, is_mig=False)]
        return found

    def _slices(self, card: Handle) -> list[Slot]:
        mode = self._ask("nvmlDeviceGetMigMode", card)
        if not mode or not mode[0]:
            return []
        count = self._ask("nvmlDeviceGetMaxMigDeviceCount", card) or 0
        handles = [self._ask("nvmlDeviceGetMigDeviceHandleByIndex", card, n) for n in range(count)]
        return [Slot(handle, card, is_mig=True) for handle in handles if handle is not None]

    def read(self, index: int, slot: Slot) -> Gpu:
        """Everything about one GPU, right now."""
        memory = self._ask("nvmlDeviceGetMemoryInfo", slot.handle)
        use = self._ask("nvmlDeviceGetUtilizationRates", slot.handle)
        return Gpu(
            index=index,
            name=self._text("nvmlDeviceGetName", slot.handle)
            or self._text("nvmlDeviceGetName", slot.card) or f"NVIDIA GPU {index}",
            total_bytes=None if memory is None else int(memory.total),
            used_bytes=None if memory is None else int(memory.used),
            free_bytes=None if memory is None else int(memory.free),
            compute_capability=self._capability(slot),
            utilization_percent=None if use is None else int(use.gpu),
            temperature_celsius=self._temperature(slot.card),
            power_watts=self._watts("nvmlDeviceGetPowerUsage", slot.card),
            power_limit_watts=self._watts("nvmlDeviceGetEnforcedPowerLimit", slot.card),
            is_mig=slot.is_mig,
        )

    def _capability(self, slot: Slot) -> tuple[int, int] | None:
        pair = self._ask("nvmlDeviceGetCudaComputeCapability", slot.handle)
        if pair is None and slot.is_mig:
            pair = self._ask("nvmlDeviceGetCudaComputeCapability", slot.card)
        return None if pair is None else (int(pair[0]), int(pair[1]))

    def _temperature(self, card: Handle) -> int | None:
        # The call with a V is the one that stays; drivers before it only know the other.
        for name in ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"):
            degrees = self._ask(name, card, 0)  # 0 is NVML_TEMPERATURE_GPU, the only sensor
            if degrees is not None:
                return int(degrees)
        return None

    def _watts(self, name: str, card: Handle) -> float | None:
        milliwatts = self._ask(name, card)
        return None if milliwatts is None else milliwatts / 1000

    def _text(self, name: str, *arguments: Any) -> str | None:
        value = self._ask(name, *arguments)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def _ask(self, name: str, *arguments: Any) -> Any:
        """The answer of one NVML function, or None where it is missing or fails."""
        function = getattr(self._library, name, None)
        if function is None:
            return None
        try:
            return function(*arguments)
        except self._library.NVMLError:
            return None


def open_nvml(library: Library = None) -> tuple[Nvml | None, str]:
    """An open NVML, or None with the reason; the reason is empty where there is just no driver."""
    if library is None:
        try:
            import pynvml
        except ImportError:
            return None, "The package nvidia-ml-py is not installed, so NVIDIA GPUs are not seen."
        library = pynvml
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        if getattr(error, "value", None) == library.NVML_ERROR_LIBRARY_NOT_FOUND:
            return None, ""
        return None, f"The NVIDIA driver does not answer: {error}."
    return Nvml(library), ""


@contextmanager
def nvml_session(library: Library = None) -> Iterator[tuple[Nvml | None, str]]:
    """`open_nvml` for the length of a block."""
    nvml, reason = open_nvml(library)
    try:
        yield nvml, reason
    finally:
        if nvml is not None:
            nvml.close()
