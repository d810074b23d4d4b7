"""What is free right now on the device that will be used, and which programs hold the rest.

`compare` sets an estimate against it in sentences. It advises and never forbids: whoever knows
better may start all the same. Reads process names and sizes, nothing else about other programs.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import psutil

from studio.device import Device, free_device_bytes
from studio.files import readable_bytes
from studio.hardware.gpu import GpuProcess
from studio.hardware.host import is_in_container
from studio.hardware.memory import COMFORTABLE_SHARE, Estimate, verdict
from studio.hardware.nvml import Library, Nvml, Slot, nvml_session
from studio.hardware.used_gpu import by_uuid

NAMED_PROGRAMS = 4
"""So many of the largest are named."""
WORTH_NAMING_BYTES = 300_000_000
HOLDERS_SECONDS = 5.0
"""So long a look at other programs is kept, since it costs far more than the free bytes."""


@dataclass(frozen=True)
class Holder:
    """A program that holds memory; `used_bytes` is None where the system does not tell, and
    `count` programs of the name are taken together."""

    name: str
    used_bytes: int | None
    count: int = 1


@dataclass(frozen=True)
class FreeNow:
    """The memory of `device` at one moment. `holders` are other programs, the largest first;
    `own_bytes` is what this studio and its child processes hold. `unnamed` says why no program
    can be named."""

    device: Device
    free_bytes: int
    holders: tuple[Holder, ...] = ()
    own_bytes: int = 0
    unnamed: str = ""

    @property
    def others_bytes(self) -> int:
        """What is known to be held by others."""
        return sum(holder.used_bytes or 0 for holder in self.holders)


@dataclass(frozen=True)
class Comparison:
    """An estimate beside what is free. `level`: good where even the high end of the estimate
    fits, warning where only the low end does, else problem."""

    level: Literal["good", "warning", "problem"]
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All sentences in one."""
        return " ".join(self.sentences)


class FreeWatch:
    """Free memory again and again, for a page: the bytes anew each time, the names seldom."""

    def __init__(self, nvml_library: Library = None) -> None:
        self._library = nvml_library
        self._lock = threading.Lock()
        self._kept: FreeNow | None = None
        self._until = 0.0

    def now(self, device: Device, free_bytes: int | None = None) -> FreeNow:
        """The memory of `device` now; `free_bytes` where it was measured this moment.

        Raises SetupError where a GPU no longer answers.
        """
        if free_bytes is None:
            free_bytes = free_device_bytes(device)
        with self._lock:
            if self._kept is None or time.monotonic() >= self._until \
                    or self._kept.device != device:
                self._kept = free_now(device, free_bytes=free_bytes, nvml_library=self._library)
                self._until = time.monotonic() + HOLDERS_SECONDS
            kept = self._kept
        return FreeNow(device, free_bytes, kept.holders, kept.own_bytes, kept.unnamed)


def free_now(
    device: Device, *, free_bytes: int | None = None, nvml_library: Library = None
) -> FreeNow:
    """The memory of `device` and its other holders. Takes some hundredths of a second.

    Raises SetupError where a GPU no longer answers.
    """
    free = free_device_bytes(device) if free_bytes is None else free_bytes
    if device.kind == "cuda":
        return _on_gpu(device, free, nvml_library)
    own = own_processes()
    return FreeNow(device, free, _largest(_in_main_memory(own)), _resident_bytes(own))


def _on_gpu(device: Device, free_bytes: int, library: Library) -> FreeNow:
    with nvml_session(library) as (nvml, _):
        slot = None if nvml is None else _slot_of(nvml, device)
        programs = None if nvml is None or slot is None else nvml.processes(slot)
    if is_in_container():
        return FreeNow(device, free_bytes, unnamed="A container does not see which programs.")
    if programs is None:
        return FreeNow(device, free_bytes, unnamed="The driver does not tell which programs.")
    own = {process.pid for process in own_processes()}
    others = [Holder(_name(found.pid), found.used_bytes) for found in programs
              if found.pid not in own]
    return FreeNow(device, free_bytes, _largest(others), _own_bytes(programs, own))


def _slot_of(nvml: Nvml, device: Device) -> Slot | None:
    slots = nvml.slots()
    if device.uuid is None:
        return slots[0] if len(slots) == 1 else None
    gpus = [nvml.read(index, slot) for index, slot in enumerate(slots)]
    found = by_uuid(gpus, device.uuid)
    return None if found is None else slots[found.index]


def _own_bytes(programs: Iterable[GpuProcess], own: set[int]) -> int:
    return sum(found.used_bytes or 0 for found in programs if found.pid in own)


def own_processes() -> list[psutil.Process]:
    """This program and what it started, such as a dry run or an export."""
    this = psutil.Process()
    try:
        return [this, *this.children(recursive=True)]
    except psutil.Error:
        return [this]


def _resident_bytes(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue  # it has just ended
    return total


def _in_main_memory(own: list[psutil.Process]) -> list[Holder]:
    """All other programs' own memory, by name: what they share with others is left out."""
    skip = {process.pid for process in own}
    sizes: dict[str, list[int]] = defaultdict(list)
    for process in psutil.process_iter(["pid", "name", "memory_info"]):
        found = process.info
        memory = found["memory_info"]
        if found["pid"] not in skip and memory is not None and found["name"]:
            sizes[found["name"]].append(max(0, memory.rss - getattr(memory, "shared", 0)))
    return [Holder(name, sum(each), len(each)) for name, each in sizes.items()
            if sum(each) >= WORTH_NAMING_BYTES]


def _name(pid: int) -> str:
    try:
        name = psutil.Process(pid).name()
    except psutil.Error:
        return f"process {pid}"
    # Many programs are Python: only the number tells which.
    return f"{name} (process {pid})" if name.lower().startswith("python") else name


def _largest(holders: Iterable[Holder]) -> tuple[Holder, ...]:
    return tuple(sorted(holders, key=lambda holder: -(holder.used_bytes or 0)))


def compare(estimate: Estimate, free: FreeNow) -> Comparison:
    """Whether the estimate fits into what is free, and who would have to leave if not."""
    sentences = [verdict(estimate, free.free_bytes)]
    comfortable = estimate.high_bytes <= COMFORTABLE_SHARE * free.free_bytes
    if not comfortable:
        sentences += _advice(estimate, free)
    return Comparison(level(estimate, free.free_bytes), tuple(sentences))


def level(estimate: Estimate, free_bytes: int) -> Literal["good", "warning", "problem"]:
    """good where even the high end fits, warning where only the low end does, else problem."""
    if estimate.high_bytes <= free_bytes:
        return "good"
    return "warning" if estimate.low_bytes <= free_bytes else "problem"


def _advice(estimate: Estimate, free: FreeNow) -> list[str]:
    found = []
    others = held_by_others(free)
    if others:
        found.append(others)
    gain = free.free_bytes + free.others_bytes
    if others and estimate.total_bytes > free.free_bytes and estimate.high_bytes <= gain:
        found.append("With these closed it fits.")
    if free.device.kind == "cuda" and free.own_bytes >= WORTH_NAMING_BYTES:
        found.append(f"This studio itself holds {readable_bytes(free.own_bytes)}; a chat model "
                     "makes room when training begins and both do not fit.")
    return found


def held_by_others(free: FreeNow) -> str:
    """Which programs hold how much, in a sentence; empty where none holds much."""
    place = "the GPU" if free.device.kind == "cuda" else "memory"
    known = [holder for holder in free.holders if (holder.used_bytes or 0) >= WORTH_NAMING_BYTES]
    silent = [holder for holder in free.holders if holder.used_bytes is None]
    if known:
        names = _listed([f"{_called(holder)} {readable_bytes(holder.used_bytes or 0)}"
                         for holder in known[:NAMED_PROGRAMS]], len(known))
        return (f"Other programs hold {readable_bytes(free.others_bytes)} of {place}: {names}.")
    if silent:
        names = _listed([_called(holder) for holder in silent[:NAMED_PROGRAMS]], len(silent))
        return f"Other programs use {place} too ({names}); Windows does not tell how much."
    used = free.device.total_bytes - free.free_bytes - free.own_bytes
    if free.unnamed and used >= WORTH_NAMING_BYTES:
        return f"{readable_bytes(used)} of {place} are in use. {free.unnamed}"
    return ""


def _called(holder: Holder) -> str:
    return holder.name if holder.count == 1 else f"{holder.name} ({holder.count} processes)"


def _listed(names: list[str], count: int) -> str:
    more = count - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
