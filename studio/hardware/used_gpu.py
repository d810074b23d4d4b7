"""Which of several GPUs the studio computes on, and why. Pure.

torch counts GPUs in another order than NVML: the fastest first unless told otherwise, and only
those that CUDA_VISIBLE_DEVICES leaves visible. Names are no proof, since two cards may be alike;
the UUID is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from studio.hardware.gpu import Gpu
from studio.settings import GpuSwitches


@dataclass(frozen=True)
class UsedGpu:
    """The GPU that is used, or None where none is. `is_certain`: torch itself says so."""

    gpu: Gpu | None
    why: str
    is_certain: bool = False


def used_gpu(gpus: Sequence[Gpu], switches: GpuSwitches, torch_uuid: str | None = None) -> UsedGpu:
    """The GPU among `gpus` (all that NVML lists) that training runs on.

    `torch_uuid` is of torch's first GPU where torch was asked; without it the switches and the
    driver's usual order are all there is to go by.
    """
    if torch_uuid is not None:
        found = by_uuid(gpus, torch_uuid)
        if found is not None:
            return UsedGpu(found, _reason(gpus, switches), is_certain=True)
    alive = [gpu for gpu in gpus if not gpu.is_lost]
    if not alive:
        return UsedGpu(None, "No GPU answers.")
    if switches.visible is not None:
        chosen = _first_visible(gpus, switches)
        if chosen is None:
            return UsedGpu(None, f"CUDA_VISIBLE_DEVICES={switches.visible} shows no GPU to torch.")
        return UsedGpu(chosen, _reason(gpus, switches))
    # FASTEST_FIRST, CUDA's own order, goes by speed; generation, then memory, is its best guess.
    fastest = max(alive, key=lambda gpu: (
        gpu.compute_capability or (0, 0), gpu.total_bytes or 0, -gpu.index))
    return UsedGpu(alive[0] if switches.is_bus_order else fastest, _reason(gpus, switches))


def by_uuid(gpus: Sequence[Gpu], uuid: str) -> Gpu | None:
    """The GPU of that UUID, with or without its `GPU-`, whole or abbreviated.

    A MIG slice is found by its card's UUID too: torch may tell either.
    """
    wanted = _bare(uuid)
    for known in ("uuid", "card_uuid"):
        for gpu in gpus:
            value = getattr(gpu, known)
            if value is not None and wanted and _bare(value).startswith(wanted):
                return gpu
    return None


def _bare(uuid: str) -> str:
    text = uuid.strip().lower()
    for prefix in ("mig-", "gpu-"):
        text = text.removeprefix(prefix)
    return text.split("/")[0]  # MIG-GPU-<uuid>/1/0, the older spelling


def _first_visible(gpus: Sequence[Gpu], switches: GpuSwitches) -> Gpu | None:
    """What the first entry of CUDA_VISIBLE_DEVICES names; CUDA ends the list at a bad entry."""
    first = (switches.visible or "").split(",")[0].strip()
    if first.isdigit():
        cards = list(dict.fromkeys(gpu.card_uuid or str(gpu.index) for gpu in gpus))
        if int(first) >= len(cards):
            return None
        card = cards[int(first)]
        return next(gpu for gpu in gpus if (gpu.card_uuid or str(gpu.index)) == card)
    return by_uuid(gpus, first) if first[:3].upper() in ("GPU", "MIG") else None


def _reason(gpus: Sequence[Gpu], switches: GpuSwitches) -> str:
    if switches.visible is not None:
        return f"CUDA_VISIBLE_DEVICES={switches.visible} puts it first."
    if len(gpus) == 1:
        return "It is the only one."
    if switches.is_bus_order:
        return "CUDA_DEVICE_ORDER=PCI_BUS_ID puts it first."
    return "CUDA counts the fastest GPU first."
