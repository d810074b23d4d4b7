"""How busy the processor and the used GPU are: readers that keep what they need between looks."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from studio.hardware.gpu import Load
from studio.hardware.nvml import Library, Nvml, Slot, open_nvml
from studio.hardware.used_gpu import used_gpu
from studio.settings import gpu_switches

SHORTEST_CPU_WINDOW_SECONDS = 0.2
_GPU_RETRY_SECONDS = 60.0


class CpuLoad:
    """Busy share of all cores since an earlier reading.

    Not psutil.cpu_percent: that measures since its last call by anybody, so two readers close
    together would see the load of a few milliseconds.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._idle, self._total = _cpu_seconds()
        self._percent = 0.0

    def percent(self) -> float:
        """0 to 100; the last answer again where it is younger than a fifth of a second."""
        now = time.monotonic()
        if now - self._since < SHORTEST_CPU_WINDOW_SECONDS:
            return self._percent
        idle, total = _cpu_seconds()
        passed = total - self._total
        if passed > 0:
            busy = 1 - (idle - self._idle) / passed
            self._percent = round(100 * min(1.0, max(0.0, busy)), 1)
        self._since, self._idle, self._total = now, idle, total
        return self._percent


def _cpu_seconds() -> tuple[float, float]:
    """Idle and all seconds of all cores since the PC started; waiting for a disk is idle.

    `guest` is left out of the sum: Linux counts it in `user` as well.
    """
    times = psutil.cpu_times()._asdict()
    idle = times["idle"] + times.get("iowait", 0.0)
    total = sum(value for name, value in times.items() if not name.startswith("guest"))
    return idle, total


class GpuLoad:
    """The used GPU through an NVML that stays open; tried again after a while where it fails."""

    def __init__(self, library: Library | None, find_uuid: Callable[[], str | None]) -> None:
        self._library = library
        self._find_uuid = find_uuid
        self._uuid: str | None = None
        self._nvml: Nvml | None = None
        self._slot: Slot | None = None
        self._name = ""
        self._try_after = 0.0

    def read(self) -> tuple[str, Load | None]:
        """Name and load; None without a GPU, and once it is lost."""
        uuid = self._find_uuid()
        if uuid != self._uuid:
            self.close()
            self._uuid = uuid
        if self._slot is None and time.monotonic() >= self._try_after:
            self._open()
        if self._nvml is None or self._slot is None:
            return "", None
        load = self._nvml.load(self._slot)
        if load is None or (load.total_bytes is None and load.temperature_celsius is None):
            self.close()  # the card is lost; its handle will not come back by itself
            self._try_after = time.monotonic() + _GPU_RETRY_SECONDS
            return "", None
        return self._name, load

    def _open(self) -> None:
        self._try_after = time.monotonic() + _GPU_RETRY_SECONDS
        self._nvml, _ = open_nvml(self._library)
        if self._nvml is None:
            return
        slots = self._nvml.slots()
        gpus = [self._nvml.read(index, slot) for index, slot in enumerate(slots)]
        used = used_gpu(gpus, gpu_switches(), self._uuid).gpu
        if used is None:
            retry = self._try_after
            self.close()
            self._try_after = retry
        else:
            self._slot, self._name = slots[used.index], used.name

    def close(self) -> None:
        """Let go of the driver; the next `read` opens it again."""
        if self._nvml is not None:
            self._nvml.close()
        self._nvml = self._slot = None
        self._try_after = 0.0
