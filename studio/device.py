"""Which device computes, and in which number format: the one place that decides.

Small on purpose: everything that knows CUDA by name for choosing lies here. Reading temperatures
and memory through NVML is `studio/hardware/`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio.allocator import give_freed_memory_back
from studio.errors import SetupError
from studio.main_memory import read_main_memory
from studio.settings import gpu_blocks_stretch

if TYPE_CHECKING:
    import torch

Kind = Literal["cuda", "mps", "cpu"]


@dataclass(frozen=True)
class Calibration:
    """What dry runs on a device measured; `studio/hardware/calibration.py` keeps and applies it.

    `ratio` is measured by estimated memory of what comes and goes within a step, None where every
    dry run was too small to tell; `overhead_bytes` is None where it could not be measured.
    `model` and `time` (Unix seconds) are of the newest of `dry_runs`.
    """

    ratio: float | None
    overhead_bytes: int | None
    dry_runs: int
    model: str
    time: float


@dataclass(frozen=True)
class Device:
    """The device that trains and answers. `fast_dtype` is what it computes fastest in.

    `uuid` is of a CUDA GPU, by which NVML finds the same card; `blocks_stretch` says whether
    torch's allocator can enlarge its blocks there. `calibration` corrects every estimate for the
    device; it travels here so that all of them agree.
    """

    kind: Kind
    name: str
    fast_dtype: Literal["bfloat16", "float16", "float32"]
    total_bytes: int
    uuid: str | None = None
    blocks_stretch: bool = False
    calibration: Calibration | None = None

    @property
    def torch_name(self) -> str:
        """As torch spells it."""
        return "cuda:0" if self.kind == "cuda" else self.kind


@functools.cache
def pick_device() -> Device:
    """The first CUDA GPU, else Apple's, else the CPU. Imports torch."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        # bf16 arithmetic came with compute capability 8.0 (Ampere); before, it is emulated.
        fast: Literal["bfloat16", "float16"] = "bfloat16" if properties.major >= 8 else "float16"
        return Device("cuda", properties.name, fast, properties.total_memory,
                      str(properties.uuid), blocks_stretch=gpu_blocks_stretch())
    memory = read_main_memory().total_bytes
    if torch.backends.mps.is_available():
        return Device("mps", "Apple GPU", "float16", memory)
    return Device("cpu", "CPU", "bfloat16" if cpu_is_fast_in_bfloat16() else "float32", memory)


def known_gpu_uuid() -> str | None:
    """Of the GPU that `pick_device` chose. None on other devices, and before it was asked: torch
    is not imported for this."""
    return pick_device().uuid if pick_device.cache_info().currsize else None


def cpu_is_fast_in_bfloat16() -> bool:
    """True where the processor has matrix units for bfloat16 (AMX).

    AVX-512 BF16 alone is not enough: measured on a Xeon without AMX, torch 2.13 multiplies
    600x576 by 576x1536 at 166 GFLOP/s in bfloat16 and 265 GFLOP/s in float32.
    """
    import torch

    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_tile") and capabilities.get("amx_bf16"))


def resolve_dtype(name: str, device: Device) -> torch.dtype:
    """A recipe's dtype as torch's; auto is the device's fast one."""
    import torch

    found: torch.dtype = getattr(torch, device.fast_dtype if name == "auto" else name)
    return found


def free_device_bytes(device: Device) -> int:
    """Memory that a new program could take on `device` right now, in bytes.

    Raises SetupError where the GPU was there and no longer answers.
    """
    if device.kind != "cuda":
        return read_main_memory().available_bytes
    import torch

    try:
        free, _ = torch.cuda.mem_get_info(0)
    except RuntimeError as error:
        raise SetupError(f"{device.name} does not answer any more: {str(error).splitlines()[0]}",
                         "Restart the PC, and look at the GPU's cables and temperature.") from error
    return int(free)


def release_memory(device: Device) -> None:
    """Give cached memory back after models were dropped."""
    import gc

    import torch

    gc.collect()
    if device.kind == "cuda":
        torch.cuda.empty_cache()
    elif device.kind == "mps":
        torch.mps.empty_cache()
    else:
        give_freed_memory_back()
