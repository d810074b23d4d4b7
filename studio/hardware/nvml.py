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

from studio.hardware.gpu import Driver, DriverModel, Gpu, GpuProcess, Load

Library = Any
"""`pynvml`, or anything with the functions of it that are used here."""
Handle = Any
_DRIVER_MODELS: tuple[DriverModel, ...] = ("WDDM", "TCC", "MCDM")
"""By NVML's number."""
_GONE = (15, 16)
"""NVML_ERROR_GPU_IS_LOST and NVML_ERROR_RESET_REQUIRED."""
_NO_LIBRARY, _NOT_LOADED, _OTHER_VERSION = 12, 9, 18


@dataclass(frozen=True)
class Slot:
    """A GPU's handle; for a MIG slice `card` is the whole card it is part of."""

    handle: Handle
    card: Handle
    is_mig: bool


class Nvml:
    """An initialised NVML. Made by `open_nvml`; `close` must be called once.

    `unanswered` tells of cards that NVML counts but gives no access to, once `slots` was called.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._open = True
        self._answers_of_lost_cards = 0
        self.unanswered: tuple[str, ...] = ()

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
        unanswered = []
        for index in range(self._ask("nvmlDeviceGetCount") or 0):
            card, error = self._try("nvmlDeviceGetHandleByIndex", index)
            if card is None:
                unanswered.append(f"GPU {index} does not answer: {error}.")
            else:
                found += self._slices(card) or [Slot(card, card, is_mig=False)]
        self.unanswered = tuple(unanswered)
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
        lost_before = self._answers_of_lost_cards
        memory = self._ask("nvmlDeviceGetMemoryInfo", slot.handle)
        load = self._load(slot, memory)
        return Gpu(
            index=index, name=self.name(index, slot),
            total_bytes=load.total_bytes, used_bytes=load.used_bytes,
            free_bytes=None if memory is None else int(memory.free),
            compute_capability=self._capability(slot),
            utilization_percent=load.utilization_percent,
            temperature_celsius=load.temperature_celsius, power_watts=load.power_watts,
            power_limit_watts=self._watts("nvmlDeviceGetEnforcedPowerLimit", slot.card),
            is_mig=slot.is_mig, uuid=self.uuid(slot.handle), card_uuid=self.uuid(slot.card),
            driver_model=self._driver_model(slot.card),
            is_lost=self._answers_of_lost_cards > lost_before,
        )

    def load(self, slot: Slot) -> Load | None:
        """What changes from second to second, in few calls; None once the card is lost."""
        lost_before = self._answers_of_lost_cards
        load = self._load(slot, self._ask("nvmlDeviceGetMemoryInfo", slot.handle))
        return None if self._answers_of_lost_cards > lost_before else load

    def _load(self, slot: Slot, memory: Any) -> Load:
        use = self._ask("nvmlDeviceGetUtilizationRates", slot.handle)
        return Load(
            used_bytes=None if memory is None else int(memory.used),
            total_bytes=None if memory is None else int(memory.total),
            utilization_percent=None if use is None else int(use.gpu),
            temperature_celsius=self._temperature(slot.card),
            power_watts=self._watts("nvmlDeviceGetPowerUsage", slot.card),
        )

    def name(self, index: int, slot: Slot) -> str:
        """The product's name, or a number for a card that does not tell."""
        return (self._text("nvmlDeviceGetName", slot.handle)
                or self._text("nvmlDeviceGetName", slot.card) or f"NVIDIA GPU {index}")

    def uuid(self, handle: Handle) -> str | None:
        """`GPU-...`, or `MIG-...` for a slice."""
        return self._text("nvmlDeviceGetUUID", handle)

    def processes(self, slot: Slot) -> tuple[GpuProcess, ...] | None:
        """The programs on a GPU, one each; None where the driver names none (WSL).

        A program may both compute and draw: the larger of the two is its memory, since both
        lists tell all of it.
        """
        lists = [self._listed(kind, slot.handle) for kind in ("Compute", "Graphics")]
        if lists[0] is None and lists[1] is None:
            return None
        found: dict[int, int | None] = {}
        for entry in (*(lists[0] or ()), *(lists[1] or ())):
            pid, used = int(entry.pid), entry.usedGpuMemory
            known = found.get(pid)
            found[pid] = known if used is None else max(int(used), known or 0)
        return tuple(GpuProcess(pid, used) for pid, used in found.items())

    def _listed(self, kind: str, handle: Handle) -> list[Any] | None:
        # The names without a version raise another error than NVMLError on older drivers.
        for version in ("_v3", "_v2"):
            found: list[Any] | None = self._ask(
                f"nvmlDeviceGet{kind}RunningProcesses{version}", handle)
            if found is not None:
                return found
        return None

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

    def _driver_model(self, card: Handle) -> DriverModel | None:
        for name in ("nvmlDeviceGetDriverModel_v2", "nvmlDeviceGetDriverModel_v1"):
            models = self._ask(name, card)  # the present one, and the one after a restart
            if models is not None and models[0] < len(_DRIVER_MODELS):
                return _DRIVER_MODELS[models[0]]
        return None

    def _watts(self, name: str, card: Handle) -> float | None:
        milliwatts = self._ask(name, card)
        return None if milliwatts is None else milliwatts / 1000

    def _text(self, name: str, *arguments: Any) -> str | None:
        value = self._ask(name, *arguments)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def _ask(self, name: str, *arguments: Any) -> Any:
        """The answer of one NVML function, or None where it is missing or fails."""
        return self._try(name, *arguments)[0]

    def _try(self, name: str, *arguments: Any) -> tuple[Any, str]:
        """The answer, or None and why there is none."""
        function = getattr(self._library, name, None)
        if function is None:
            return None, "the driver is too old to tell"
        try:
            return function(*arguments), ""
        except self._library.NVMLError as error:
            self._answers_of_lost_cards += getattr(error, "value", None) in _GONE
            return None, str(error)


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
        return None, _why_closed(error)
    return Nvml(library), ""


def _why_closed(error: Any) -> str:
    number = getattr(error, "value", None)
    if number == _NO_LIBRARY:
        return ""
    if number == _NOT_LOADED:
        return "The NVIDIA driver is installed, but the system has not loaded it."
    if number == _OTHER_VERSION:
        return "The NVIDIA driver was updated, but the old one is still loaded."
    return f"The NVIDIA driver does not answer: {error}."


@contextmanager
def nvml_session(library: Library = None) -> Iterator[tuple[Nvml | None, str]]:
    """`open_nvml` for the length of a block."""
    nvml, reason = open_nvml(library)
    try:
        yield nvml, reason
    finally:
        if nvml is not None:
            nvml.close()
