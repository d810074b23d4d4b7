"""Watches processor, memory and GPU: once a second into a run's folder, or now for the page.

`Sampler.sample` reads the present; `start` appends strict JSON lines to `telemetry.jsonl` from a
thread of its own until `stop`. Only looks; charts are drawn from the file by the page.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from studio.hardware.nvml import Gpu, Library, Nvml, Slot, open_nvml

FILE_NAME = "telemetry.jsonl"
INTERVAL_SECONDS = 1.0
_SHORTEST_CPU_WINDOW_SECONDS = 0.2
_GPU_RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class Sample:
    """This PC at `time` (Unix seconds). The gpu fields are None without an NVIDIA GPU."""

    time: float
    cpu_percent: float
    ram_used_bytes: int
    ram_total_bytes: int
    rss_bytes: int
    gpu_name: str | None = None
    gpu_used_bytes: int | None = None
    gpu_total_bytes: int | None = None
    gpu_utilization_percent: int | None = None
    gpu_temperature_celsius: int | None = None
    gpu_power_watts: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Sampler:
    """Samples this PC. Any number of readers may share one; `close` lets go of the driver."""

    def __init__(self, nvml_library: Library | None = None, gpu_index: int = 0) -> None:
        self._lock = threading.Lock()
        self._cpu = _CpuLoad()
        self._gpu = _GpuReader(nvml_library, gpu_index)
        self._process = psutil.Process()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def sample(self) -> Sample:
        """The present values. `cpu_percent` is over the time since a reading, 0.2 s at least."""
        with self._lock:
            cpu_percent = self._cpu.percent()
            gpu = self._gpu.read()
        memory = psutil.virtual_memory()
        return Sample(
            time=time.time(), cpu_percent=cpu_percent,
            ram_used_bytes=memory.total - memory.available, ram_total_bytes=memory.total,
            rss_bytes=self._process.memory_info().rss,
            gpu_name=gpu.name if gpu else None,
            gpu_used_bytes=gpu.used_bytes if gpu else None,
            gpu_total_bytes=gpu.total_bytes if gpu else None,
            gpu_utilization_percent=gpu.utilization_percent if gpu else None,
            gpu_temperature_celsius=gpu.temperature_celsius if gpu else None,
            gpu_power_watts=gpu.power_watts if gpu else None,
        )

    def start(self, run_path: Path) -> None:
        """Append a line a second to `run_path`/telemetry.jsonl until `stop`. The folder exists.

        Raises OSError where the file cannot be opened, RuntimeError if it is already running.
        """
        if self._thread is not None:
            raise RuntimeError("this sampler is already writing")
        file = (run_path / FILE_NAME).open("a", encoding="utf-8", newline="\n")
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._write, args=(file,), name="telemetry", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the writing thread and wait for it; its last line is whole. Safe to call twice."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Stop writing and let go of the driver; a later `sample` opens it again."""
        self.stop()
        with self._lock:
            self._gpu.close()

    def _write(self, file: Any) -> None:
        with file:
            while True:
                line = json.dumps(self.sample().to_dict(), allow_nan=False)
                file.write(line + "\n")
                file.flush()
                if self._stopping.wait(INTERVAL_SECONDS):
                    return


class _CpuLoad:
    """Busy share of all cores since an earlier reading.

    Not psutil.cpu_percent: that measures since its last call by anybody, so two readers close
    together would see the load of a few milliseconds.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._idle, self._total = _cpu_seconds()
        self._percent = 0.0

    def percent(self) -> float:
        now = time.monotonic()
        if now - self._since < _SHORTEST_CPU_WINDOW_SECONDS:
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


class _GpuReader:
    """One GPU through an NVML that stays open; tried again after a while where it fails."""

    def __init__(self, library: Library | None, index: int) -> None:
        self._library = library
        self._index = index
        self._nvml: Nvml | None = None
        self._slot: Slot | None = None
        self._try_after = 0.0

    def read(self) -> Gpu | None:
        if self._slot is None and time.monotonic() >= self._try_after:
            self._open()
        if self._nvml is None or self._slot is None:
            return None
        gpu = self._nvml.read(self._index, self._slot)
        if gpu.total_bytes is None and gpu.temperature_celsius is None:
            self.close()  # the card is lost; its handle will not come back by itself
            self._try_after = time.monotonic() + _GPU_RETRY_SECONDS
            return None
        return gpu

    def _open(self) -> None:
        self._try_after = time.monotonic() + _GPU_RETRY_SECONDS
        self._nvml, _ = open_nvml(self._library)
        slots = self._nvml.slots() if self._nvml else []
        if self._index < len(slots):
            self._slot = slots[self._index]
        else:
            self.close()

    def close(self) -> None:
        if self._nvml is not None:
            self._nvml.close()
        self._nvml = self._slot = None
        self._try_after = 0.0
