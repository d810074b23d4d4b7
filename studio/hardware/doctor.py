"""What is wrong with this PC for training, and how to mend it.

`diagnose` runs every check; each is a small function of what was found and gives one Finding, or
none where it does not apply. Nothing is imported that could crash: torch's version is read from
its files, bitsandbytes is tried in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from studio.files import readable_bytes
from studio.hardware.installed import TorchBuild, installed_torch
from studio.hardware.nvml import Library
from studio.hardware.probe import Hardware, probe
from studio.settings import Settings

Level = Literal["ok", "warning", "problem"]

OLDEST_PYTHON = (3, 11)
LITTLE_RAM_BYTES = 6_000_000_000
"""Below, the libraries (about 1 GB) and the starter model in training leave no room."""
LITTLE_DISK_BYTES = 5_000_000_000
COMFORTABLE_DISK_BYTES = 20_000_000_000
"""A 1.5B model: 3 GB in the cache, 3 GB merged, 3 GB as GGUF, checkpoints and data beside it."""
OLDEST_CAPABILITY = (5, 0)
LITTLE_GPU_BYTES = 3_500_000_000
BITSANDBYTES_SECONDS = 60
# Its import succeeds without its native library; a stand-in fails at the first use instead.
_LOAD_BITSANDBYTES = """
import bitsandbytes.cextension as extension
if type(extension.lib).__name__.startswith("ErrorHandler"):
    raise SystemExit("its native library does not load.")
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `hint` says what to do; empty where all is well."""

    level: Level
    what: str
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Facts:
    """All that the checks look at. `bitsandbytes_error` is None where it loads."""

    settings: Settings
    hardware: Hardware
    torch: TorchBuild | None
    bitsandbytes_error: str | None
    python: tuple[int, int]


def diagnose(settings: Settings, *, nvml_library: Library = None) -> list[Finding]:
    """Every finding, problems first. Takes a few seconds where bitsandbytes is installed."""
    hardware = probe(settings.home, nvml_library=nvml_library)
    return judge(Facts(settings, hardware, installed_torch(), try_bitsandbytes(hardware),
                       sys.version_info[:2]))


def judge(facts: Facts) -> list[Finding]:
    """The findings that follow from `facts`, problems first."""
    order = {"problem": 0, "warning": 1, "ok": 2}
    found = [finding for check in CHECKS if (finding := check(facts)) is not None]
    return sorted(found, key=lambda finding: order[finding.level])


def check_python(facts: Facts) -> Finding:
    """Old Pythons lack what the studio needs."""
    version = ".".join(map(str, facts.python))
    if facts.python < OLDEST_PYTHON:
        return Finding("problem", f"Python {version} is too old.",
                       "Install Python 3.11 or newer and start launch.py with it.")
    return Finding("ok", f"Python {version}.")


def check_torch(facts: Facts) -> Finding:
    """torch is there, and built for the GPU that is there."""
    if facts.torch is None:
        return Finding("problem", "torch is not installed.",
                       "Run python launch.py, which installs it.")
    if facts.hardware.gpus and facts.torch.cuda is None:
        return Finding(
            "problem",
            f"An NVIDIA GPU is here, but torch {facts.torch.version} is built without CUDA, so "
            "training would run on the processor.",
            "Start launch.py again and let it install the CUDA build, or install torch by the "
            "command that pytorch.org shows for CUDA.",
        )
    built = f"for CUDA {facts.torch.cuda}" if facts.torch.cuda else "for the processor"
    return Finding("ok", f"torch {facts.torch.version}, built {built}.")


def check_driver(facts: Facts) -> Finding | None:
    """A driver runs CUDA programs up to its own CUDA's major version."""
    driver = facts.hardware.driver
    if driver is None or facts.torch is None or facts.torch.cuda is None or driver.cuda is None:
        return None
    runtime = tuple(int(part) for part in facts.torch.cuda.split(".")[:2])
    newest = ".".join(map(str, driver.cuda))
    if driver.cuda[0] < runtime[0]:
        return Finding(
            "problem",
            f"The NVIDIA driver {driver.version} runs CUDA up to {newest}, but torch is built for "
            f"CUDA {facts.torch.cuda}.",
            "Install a newer NVIDIA driver, or a torch built for an older CUDA.",
        )
    return Finding("ok", f"NVIDIA driver {driver.version}, for CUDA up to {newest}.")


def check_driver_answers(facts: Facts) -> Finding | None:
    """A driver that is there but fails leaves a note in the probe."""
    if not facts.hardware.notes:
        return None
    return Finding("warning", " ".join(facts.hardware.notes),
                   "Restart the PC after a driver update; if that does not help, install the "
                   "NVIDIA driver again. Until then training runs on the processor.")


def check_gpu(facts: Facts) -> Finding:
    """Whether there is a GPU, of a generation and size to train on."""
    gpus = facts.hardware.gpus
    if not gpus:
        return Finding("ok", "No NVIDIA GPU: training runs on the processor, for small models.")
    names = ", ".join(gpu.name for gpu in gpus)
    old = [gpu for gpu in gpus
           if gpu.compute_capability is not None and gpu.compute_capability < OLDEST_CAPABILITY]
    if old:
        return Finding("problem", f"{old[0].name} is too old for today's torch.",
                       "Use the processor (dtype float32), or a newer card.")
    small = [gpu for gpu in gpus if gpu.total_bytes is not None
             and gpu.total_bytes < LITTLE_GPU_BYTES]
    if len(small) == len(gpus):
        return Finding("warning", f"{names}: little memory to train in.",
                       "Use the low memory preset and models of up to 500 million parameters.")
    return Finding("ok", f"{names}.")


def check_bfloat16(facts: Facts) -> Finding | None:
    """Cards before Ampere compute bfloat16 slowly; float16 is theirs."""
    without = [gpu for gpu in facts.hardware.gpus if gpu.computes_bfloat16 is False]
    if not without:
        return None
    return Finding("warning", f"{without[0].name} has no bfloat16 arithmetic.",
                   "Leave model.dtype on auto: float16 is taken, which is a little less stable.")


def check_bitsandbytes(facts: Facts) -> Finding:
    """4-bit, 8-bit and 8-bit optimizers need bitsandbytes."""
    version = facts.hardware.libraries.get("bitsandbytes")
    hint = ("Install bitsandbytes, or leave model.quantization on none and training.optimizer on "
            "adamw_torch.")
    if version is None:
        return Finding("warning", "bitsandbytes is not installed: no 4-bit or 8-bit models.", hint)
    if facts.bitsandbytes_error is not None:
        return Finding("warning",
                       f"bitsandbytes {version} does not load: {facts.bitsandbytes_error}", hint)
    return Finding("ok", f"bitsandbytes {version} loads: 4-bit and 8-bit models work.")


def check_ram(facts: Facts) -> Finding:
    """Enough main memory for the libraries and a small model."""
    total, free = facts.hardware.ram_total_bytes, facts.hardware.ram_available_bytes
    words = f"{readable_bytes(total)} of memory, {readable_bytes(free)} free"
    if total < LITTLE_RAM_BYTES:
        return Finding("warning", f"Only {words}.",
                       "Train the starter model with the low memory preset.")
    if free < LITTLE_RAM_BYTES / 2:
        return Finding("warning", f"{words}.", "Close other programs before training.")
    return Finding("ok", f"{words}.")


def check_disk(facts: Facts) -> Finding:
    """Enough disk for the model cache, checkpoints, a merge and a GGUF together."""
    free, where = facts.hardware.disk_free_bytes, facts.hardware.disk_path
    words = f"{readable_bytes(free)} of disk free at {where}"
    hint = "Free some space, or start the studio with --home on a larger disk."
    if free < LITTLE_DISK_BYTES:
        return Finding("problem", f"Only {words}.", hint)
    if free < COMFORTABLE_DISK_BYTES:
        return Finding("warning", f"{words}: enough for small models only.", hint)
    return Finding("ok", f"{words}.")


def check_home(facts: Facts) -> Finding:
    """The studio's home, or the nearest folder above it that exists, can be written to."""
    home = facts.settings.home
    existing = home
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Finding("problem", f"The studio cannot write into {home}: {error.strerror}.",
                       "Start it with --home and a folder of your own.")
    return Finding("ok", f"The studio's home {home} can be written to.")


def check_network(facts: Facts) -> Finding | None:
    """Offline mode is said, so that a missing model does not surprise."""
    if not facts.settings.offline:
        return None
    return Finding("ok", "Offline: only models and data that are already on this PC.")


CHECKS: tuple[Callable[[Facts], Finding | None], ...] = (
    check_python, check_torch, check_driver, check_driver_answers, check_gpu, check_bfloat16,
    check_bitsandbytes, check_ram, check_disk, check_home, check_network,
)


def try_bitsandbytes(hardware: Hardware) -> str | None:
    """Why bitsandbytes does not load, or None. In a process of its own: it takes seconds, and a
    broken native library must not take the studio down."""
    if "bitsandbytes" not in hardware.libraries:
        return None
    command = [sys.executable, "-c", _LOAD_BITSANDBYTES]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8",
                              errors="replace", timeout=BITSANDBYTES_SECONDS, check=False,
                              cwd=Path(tempfile.gettempdir()))
    except subprocess.TimeoutExpired:
        return f"loading takes more than {BITSANDBYTES_SECONDS} seconds."
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"it ends with code {done.returncode}."
