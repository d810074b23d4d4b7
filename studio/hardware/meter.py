"""What this process holds of its device's memory, read at the end of each phase of its work.

On an NVIDIA GPU torch's own counters tell, and NVML what lies outside them; on a processor it is
the resident memory. Decides no phases; measures this process alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from studio.device import Device
from studio.hardware.gpu import Gpu
from studio.hardware.nvml import Library, nvml_session
from studio.hardware.resident import forget_peak, peak_resident_bytes, resident_bytes
from studio.hardware.used_gpu import by_uuid

SAMPLE_SECONDS = 0.005


@dataclass(frozen=True)
class Held:
    """Memory in bytes: `now`, and the `peak` since the reading before.

    `reserved` is the most that torch's allocator held of the GPU since then, None elsewhere.
    """

    now: int
    peak: int
    reserved: int | None = None


class Meter(Protocol):
    """Reads the memory of one device."""

    def read(self) -> Held:
        """The present memory and the peak since the last call; waits for the device's work."""

    def outside_bytes(self) -> int | None:
        """What the program itself takes: CUDA's context, or the libraries. None: nobody tells."""


def meter_for(device: Device, gpus_before: Sequence[Gpu]) -> Meter:
    """The meter of `device`. `gpus_before`: `read_gpus()` before CUDA was begun."""
    if device.kind == "cuda":
        return CudaMeter(device.uuid, gpus_before)
    if device.kind == "mps":
        return ResidentMeter(_with_apple_gpu, has_system_peak=False)
    return ResidentMeter()


class CudaMeter:
    """torch's caching allocator on its first GPU, whose UUID is given."""

    def __init__(
        self, uuid: str | None, gpus_before: Sequence[Gpu], library: Library = None
    ) -> None:
        self._uuid = uuid
        self._library = library
        self._used_before = self._used(gpus_before)

    def read(self) -> Held:
        """Allocated now and at most, and reserved at most."""
        import torch

        torch.cuda.synchronize(0)
        held = Held(torch.cuda.memory_allocated(0), torch.cuda.max_memory_allocated(0),
                    torch.cuda.max_memory_reserved(0))
        torch.cuda.reset_peak_memory_stats(0)
        return held

    def outside_bytes(self) -> int | None:
        """CUDA's context and kernels: what NVML saw appear, less what the allocator reserved."""
        import torch

        used = self._used(read_gpus(self._library))
        if used is None or self._used_before is None:
            return None
        return max(0, used - self._used_before - torch.cuda.memory_reserved(0))

    def _used(self, gpus: Sequence[Gpu]) -> int | None:
        """Of all programs together on this GPU."""
        found = None if self._uuid is None else by_uuid(gpus, self._uuid)
        return None if found is None else found.used_bytes


class ResidentMeter:
    """Main memory. Where the system cannot start its peak anew, a thread looks often.

    Make it after the libraries are imported. `count` reads the bytes held now; `has_system_peak`
    says whether the system keeps their peak.
    """

    def __init__(self, count: Callable[[], int] = resident_bytes, *,
                 has_system_peak: bool = True) -> None:
        self._count = count
        self._has_system_peak = has_system_peak
        self._at_first = count()
        self._before = peak_resident_bytes() if has_system_peak else 0
        self._sampler = None if has_system_peak and forget_peak() else _Sampler(count)

    def read(self) -> Held:
        """Resident now and at most."""
        now = self._count()
        return Held(now, max(now, self._peak()))

    def outside_bytes(self) -> int | None:
        """What was resident when the meter was made: the libraries, if they were imported."""
        return self._at_first

    def close(self) -> None:
        """End the thread, where there is one."""
        if self._sampler is not None:
            self._sampler.close()

    def _peak(self) -> int:
        if self._sampler is None:
            peak = peak_resident_bytes()
            forget_peak()
            return peak
        sampled = self._sampler.take()
        if not self._has_system_peak:
            return sampled
        # A system's peak since the start of the process tells of this phase only if it rose.
        before, self._before = self._before, peak_resident_bytes()
        return self._before if self._before > before else sampled


class _Sampler:
    """The highest of many looks, some hundred a second."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._highest = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory-meter", daemon=True)
        self._thread.start()

    def take(self) -> int:
        """The highest since the last call."""
        with self._lock:
            highest, self._highest = self._highest, 0
        return highest

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ending.wait(SAMPLE_SECONDS):
            with self._lock:
                self._highest = max(self._highest, self._count())


def _with_apple_gpu() -> int:
    """Resident memory and what Metal holds; the two share the same chips."""
    import torch

    return resident_bytes() + torch.mps.driver_allocated_memory()


def read_gpus(library: Library = None) -> tuple[Gpu, ...]:
    """Every GPU that NVML lists, as it is now; begins no CUDA."""
    with nvml_session(library) as (nvml, _):
        slots = [] if nvml is None else nvml.slots()
        return () if nvml is None else tuple(nvml.read(at, slot) for at, slot in enumerate(slots))
