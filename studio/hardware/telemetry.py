"""Watches processor, memory and GPU: once a second into a run's folder, or now for the page.

`Sampler.sample` reads the present; `start` appends strict JSON lines to `telemetry.jsonl` from a
thread of its own until `stop`; `read_telemetry` reads them back. Nothing that goes wrong here
stops a run: a GPU that disappears leaves its fields empty, a full disk ends the recording. Only
looks; charts are drawn by the page.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import psutil

from studio.device import known_gpu_uuid
from studio.hardware.load import SHORTEST_CPU_WINDOW_SECONDS, CpuLoad, GpuLoad
from studio.hardware.nvml import Library
from studio.json_lines import JsonLines
from studio.main_memory import read_main_memory

FILE_NAME = "telemetry.jsonl"
INTERVAL_SECONDS = 1.0


@dataclass(frozen=True)
class Sample:
    """This PC at `time` (Unix seconds). The gpu fields are None without an NVIDIA GPU.

    `cpu_percent` is of all cores and all programs; `rss_bytes` of this program alone, without the
    processes that it started; `gpu_used_bytes` of all programs on the GPU.
    """

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


_NAMES = frozenset(field.name for field in fields(Sample))
_ALWAYS = ("time", "cpu_percent", "ram_used_bytes", "ram_total_bytes", "rss_bytes")


def read_telemetry(run_path: Path) -> JsonLines[Sample]:
    """The samples of a run, to be read again and again while it grows."""
    return JsonLines(run_path / FILE_NAME, _parsed)


def _parsed(found: dict[str, Any]) -> Sample | None:
    """A line of an older or newer version counts as far as its fields are known."""
    if not all(isinstance(found.get(name), int | float) for name in _ALWAYS):
        return None
    return Sample(**{name: value for name, value in found.items() if name in _NAMES})


class Sampler:
    """Samples this PC. Any number of readers may share one; `close` lets go of the driver.

    `gpu_uuid` gives the UUID of the GPU to watch: by default the one that torch chose, once it
    has. `problem` says why a recording ended early, or is empty.
    """

    def __init__(
        self, nvml_library: Library | None = None,
        gpu_uuid: Callable[[], str | None] = known_gpu_uuid,
    ) -> None:
        self._lock = threading.Lock()
        self._cpu = CpuLoad()
        self._gpu = GpuLoad(nvml_library, gpu_uuid)
        self._process = psutil.Process()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self.problem = ""

    def sample(self) -> Sample:
        """The present values. `cpu_percent` is over the time since a reading, 0.2 s at least."""
        with self._lock:
            cpu_percent = self._cpu.percent()
            name, gpu = self._gpu.read()
        memory = read_main_memory()
        return Sample(
            time=time.time(), cpu_percent=cpu_percent,
            ram_used_bytes=memory.total_bytes - memory.available_bytes,
            ram_total_bytes=memory.total_bytes, rss_bytes=self._process.memory_info().rss,
            gpu_name=name if gpu else None,
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

    def _write(self, file: TextIO) -> None:
        try:
            with file:
                self._write_lines(file)
        except (OSError, psutil.Error) as error:
            self.problem = f"The recording of load and temperature ended early: {error}."

    def _write_lines(self, file: TextIO) -> None:
        # The processor's load is known only after a while; a first line of 0 % would be wrong.
        self._stopping.wait(SHORTEST_CPU_WINDOW_SECONDS)
        while True:
            file.write(json.dumps(self.sample().to_dict(), allow_nan=False) + "\n")
            file.flush()
            if self._stopping.wait(INTERVAL_SECONDS):
                return
