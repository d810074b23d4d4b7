"""The memory that this program may fill: what is free, and what it holds already.

For who fits beside whom: the peaks of all that is at work here are compared with it, so it does
not matter how far each of them is just now. What a GPU's driver does not tell counts as taken.
"""

from __future__ import annotations

import psutil

from studio.device import Device, free_device_bytes
from studio.hardware.free_now import free_now, own_processes


def room_bytes(device: Device) -> int:
    """Bytes on `device` for this program and its child processes together.

    Raises SetupError where a GPU no longer answers.
    """
    held = _held_on_gpu(device) if device.kind == "cuda" else held_in_main_memory()
    return min(device.total_bytes, free_device_bytes(device) + held)


def held_in_main_memory() -> int:
    """What this program and its child processes hold for themselves.

    File pages are not counted, since the system counts them as free: it can read them again.
    """
    return sum(_private_bytes(process) for process in own_processes())


def _private_bytes(process: psutil.Process) -> int:
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0  # it has just ended
    return max(0, int(memory.rss) - int(getattr(memory, "shared", 0)))


def _held_on_gpu(device: Device) -> int:
    """torch's own count knows no context and no other process, the driver's is not always told."""
    import torch

    return max(int(torch.cuda.memory_reserved(0)), free_now(device).own_bytes)
