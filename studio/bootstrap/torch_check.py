"""Does the installed torch fit the NVIDIA GPU of this PC, and which build would?

PyPI's torch for Windows is CPU only, so an NVIDIA PC needs a build from PyTorch's own index.
Reads the driver through nvidia-smi and torch from its version.py; imports nothing and never
changes a driver.

CUDA builds of torch 2.13, from PyTorch's release compatibility matrix: 12.6 for compute
capability 5.0 to 9.0, 13.0 for 7.5 to 12.0 (13.2 is experimental). Lowest drivers, from
NVIDIA's CUDA compatibility guide: 525 for CUDA 12, 580 for CUDA 13. (Windows numbers its CUDA
12 drivers from 528, which the same bound lets through.)
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

INDEX = "https://download.pytorch.org/whl/"
CHOICES = ("auto", "cpu", "cu126", "cu130")
NVIDIA_SMI_SECONDS = 20


@dataclass(frozen=True)
class CudaBuild:
    """One CUDA build of torch and what it runs on."""

    name: str
    lowest_driver: int
    lowest_capability: float
    highest_capability: float


CUDA_BUILDS = (
    CudaBuild("cu130", lowest_driver=580, lowest_capability=7.5, highest_capability=12.9),
    CudaBuild("cu126", lowest_driver=525, lowest_capability=5.0, highest_capability=9.9),
)
"""Newest first: the first that fits is taken."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as nvidia-smi tells of it."""

    name: str
    driver: str
    capability: float | None


@dataclass(frozen=True)
class InstalledTorch:
    """An installed torch; `accelerator` is None for a CPU-only build, else such as `CUDA 13.0`."""

    version: str
    accelerator: str | None

    @property
    def public_version(self) -> str:
        """Without the local suffix: `2.13.0+cpu` -> `2.13.0`."""
        return self.version.partition("+")[0]


def find_nvidia_smi(path: str | None = None) -> Path | None:
    """The driver's nvidia-smi; `path` replaces the search path (and the usual places)."""
    found = shutil.which("nvidia-smi", path=path)
    if found or path is not None:
        return Path(found) if found else None
    windows = Path(os.environ.get("SYSTEMROOT", "C:\\Windows"))
    programs = Path(os.environ.get("PROGRAMFILES", "C:\\Program Files"))
    usual = (
        windows / "System32" / "nvidia-smi.exe",
        programs / "NVIDIA Corporation" / "NVSMI" / "nvidia-smi.exe",
        Path("/usr/lib/wsl/lib/nvidia-smi"),
        Path("/usr/bin/nvidia-smi"),
    )
    return next((place for place in usual if place.is_file()), None)


def driver_is_present() -> bool:
    """Whether there is any sign of an NVIDIA driver; costs a few file look-ups on most PCs."""
    if sys.platform == "darwin":
        return False
    if find_nvidia_smi():
        return True
    if sys.platform == "win32":
        import ctypes.util

        return ctypes.util.find_library("nvml") is not None
    return Path("/proc/driver/nvidia/version").exists()


def read_gpus(nvidia_smi: Path | None) -> list[Gpu]:
    """The GPUs the driver answers for: none if it does not answer."""
    if nvidia_smi is None:
        return []
    for fields in ("name,driver_version,compute_cap", "name,driver_version"):
        # Drivers before 510 do not know compute_cap.
        gpus = _parse_gpus(_ask(nvidia_smi, fields))
        if gpus:
            return gpus
    return []


def read_torch(site_packages: Path) -> InstalledTorch | None:
    """The installed torch from the text of its version.py; None if there is none."""
    try:
        text = (site_packages / "torch" / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    values = dict(re.findall(r"^(\w+)(?:: [^=]+)? = '([^']*)'", text, re.MULTILINE))
    for name, title in (("cuda", "CUDA"), ("hip", "ROCm"), ("xpu", "XPU")):
        if values.get(name):
            return InstalledTorch(values.get("__version__", "?"), f"{title} {values[name]}")
    return InstalledTorch(values.get("__version__", "?"), None)


def fitting_build(gpus: list[Gpu]) -> CudaBuild | None:
    """The newest CUDA build that the driver and the first GPU can run, or None."""
    for build in CUDA_BUILDS:
        if _driver_number(gpus[0]) >= build.lowest_driver and _fits(build, gpus[0]):
            return build
    return None


def can_use(torch: InstalledTorch, gpu: Gpu) -> bool:
    """Whether an installed torch runs on this GPU; ROCm and XPU builds were somebody's choice."""
    if torch.accelerator is None or not torch.accelerator.startswith("CUDA"):
        return torch.accelerator is not None
    name = "cu" + torch.accelerator.removeprefix("CUDA ").replace(".", "")
    build = next((build for build in CUDA_BUILDS if build.name == name), None)
    return build is None or (_driver_number(gpu) >= build.lowest_driver and _fits(build, gpu))


def why_no_build(gpu: Gpu) -> str:
    """Why a GPU stays unused, and what would change that."""
    builds = [build for build in CUDA_BUILDS if _fits(build, gpu)]
    if not builds:
        return (
            f"{gpu.name} has compute capability {gpu.capability}, which no build of this torch "
            "supports; training runs on the CPU."
        )
    lowest = min(build.lowest_driver for build in builds)
    return (
        f"The NVIDIA driver {gpu.driver} is too old for {gpu.name} and this torch, which needs "
        f"{lowest} or newer; training runs on the CPU. Update the driver from "
        "https://www.nvidia.com/drivers and run: python launch.py --torch auto"
    )


def plain_build(system: str = sys.platform, machine: str | None = None) -> str:
    """The build that the plain wheel of the package index holds for this kind of PC."""
    machine = machine or platform.machine()
    return "cu130" if system == "linux" and machine.lower() in {"x86_64", "amd64"} else "cpu"


def wheel_arguments(version: str, build: str) -> list[str]:
    """What to add to `pip install` for one build of torch from PyTorch's own index."""
    return [f"torch=={version}+{build}", "--extra-index-url", f"{INDEX}{build}"]


def mending_command(python: Path, version: str, build: str) -> str:
    """The command line that installs one build of torch into somebody's own environment."""
    requirement, *index = wheel_arguments(version, build)
    return subprocess.list2cmdline([str(python), "-m", "pip", "install", requirement, *index])


def _ask(nvidia_smi: Path, fields: str) -> str:
    try:
        answer = subprocess.run(
            [str(nvidia_smi), f"--query-gpu={fields}", "--format=csv,noheader"],
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace",
            timeout=NVIDIA_SMI_SECONDS, check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def _parse_gpus(text: str) -> list[Gpu]:
    gpus = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) >= 2 and re.match(r"\d+\.", parts[1]):
            capability = parts[2] if len(parts) > 2 else ""
            number = float(capability) if re.fullmatch(r"\d+\.\d+", capability) else None
            gpus.append(Gpu(parts[0], parts[1], number))
    return gpus


def _fits(build: CudaBuild, gpu: Gpu) -> bool:
    """Unknown capability counts as fitting: the driver then is the only bound."""
    return gpu.capability is None or (
        build.lowest_capability <= gpu.capability <= build.highest_capability
    )


def _driver_number(gpu: Gpu) -> int:
    return int(gpu.driver.split(".")[0])
