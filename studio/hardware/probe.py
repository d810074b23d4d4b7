"""What this PC has: processor, memory, disk, NVIDIA GPUs, library versions, and one sentence.

Looks without changing anything and without importing torch. What a card or driver does not tell
is None; a driver that fails is a note, not an error. What is wrong is said by `doctor.py`.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from studio.files import free_bytes
from studio.hardware.capacity import training_verdict
from studio.hardware.cpu import cpu_name
from studio.hardware.nvml import Driver, Gpu, Library, nvml_session
from studio.main_memory import read_main_memory
from studio.settings import default_home

LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "accelerate",
             "safetensors", "tokenizers", "huggingface_hub", "gradio", "nvidia-ml-py")


@dataclass(frozen=True)
class Hardware:
    """This PC at one moment. `libraries` holds only what is installed."""

    system: str
    python_version: str
    cpu_name: str
    physical_cores: int | None
    logical_cores: int
    ram_total_bytes: int
    ram_available_bytes: int
    disk_free_bytes: int
    disk_path: str
    gpus: tuple[Gpu, ...]
    driver: Driver | None
    libraries: dict[str, str]
    notes: tuple[str, ...]
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def probe(home: Path | None = None, *, nvml_library: Library | None = None) -> Hardware:
    """Look at this PC. `home` is the folder whose disk is measured; it need not exist yet."""
    where = home or default_home()
    memory = read_main_memory()
    gpus, driver, notes = _read_gpus(nvml_library)
    is_apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return Hardware(
        system=f"{platform.system()} {platform.release()}",
        python_version=platform.python_version(),
        cpu_name=cpu_name(),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(logical=True) or 1,
        ram_total_bytes=memory.total_bytes,
        ram_available_bytes=memory.available_bytes,
        disk_free_bytes=free_bytes(where),
        disk_path=str(where),
        gpus=gpus,
        driver=driver,
        libraries=installed_versions(),
        notes=notes,
        verdict=training_verdict(tuple(gpu for gpu in gpus if not gpu.is_lost),
                                 memory.total_bytes, is_apple_silicon=is_apple),
    )


def _read_gpus(
    library: Library | None,
) -> tuple[tuple[Gpu, ...], Driver | None, tuple[str, ...]]:
    with nvml_session(library) as (nvml, reason):
        if nvml is None:
            return (), None, (reason,) if reason else ()
        gpus = tuple(nvml.read(index, slot) for index, slot in enumerate(nvml.slots()))
        return gpus, nvml.driver(), nvml.unanswered


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that matter here, from their metadata: nothing is imported."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
