"""Which NVIDIA driver a CUDA runtime needs, and which GPUs a build of torch has kernels for. Pure.

Drivers: tables 2 and 3 of NVIDIA's CUDA Toolkit 13.2 release notes
(https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/). Within a major version a runtime runs on
every driver from the major version's first one on ("minor version compatibility"); a driver older
than the runtime's own toolkit only cannot compile PTX for cards that the build has no kernels for.
Architectures: PyTorch's release matrix for 2.13 (RELEASE.md, "PyTorch CUDA Support Matrix").
"""

from __future__ import annotations

import re
from typing import Literal

from studio.bootstrap.torch_check import CUDA_BUILDS, CudaBuild

Version = tuple[int, ...]
Capability = tuple[int, int]

FIRST_DRIVER: dict[int, tuple[str, str]] = {
    11: ("450.80.02", "452.39"), 12: ("525.60.13", "528.33"), 13: ("580.65.06", "580"),
}
"""The oldest driver for each major version of CUDA: (Linux, Windows)."""

TOOLKIT_DRIVER: dict[tuple[int, int], tuple[str, str | None]] = {
    (12, 0): ("525.60.13", "527.41"), (12, 1): ("530.30.02", "531.14"),
    (12, 2): ("535.54.03", "536.25"), (12, 3): ("545.23.06", "545.84"),
    (12, 4): ("550.54.14", "551.61"), (12, 5): ("555.42.02", "555.85"),
    (12, 6): ("560.28.03", "560.76"), (12, 8): ("570.26", "570.65"),
    (12, 9): ("575.51.03", "576.02"), (13, 0): ("580.65.06", None),
    (13, 1): ("590.44.01", None), (13, 2): ("595.45.04", None),
}
"""The driver of each toolkit's first release: (Linux, Windows; none is published from 13.0 on)."""

ARCHITECTURES: dict[tuple[int, int], tuple[str, ...]] = {
    (12, 6): ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"),
    (12, 8): ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"),
    (13, 0): ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"),
    (13, 2): ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"),
}
"""What torch's own wheels hold, where torch cannot be asked. CUDA 13 dropped Maxwell, Pascal and
Volta (5.0 to 7.2)."""

_FLAG = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")


def version_numbers(text: str) -> Version:
    """'580.65.06' -> (580, 65, 6); what is no number ends it."""
    found = []
    for part in text.split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return tuple(found)


def oldest_driver(cuda: Version, *, on_windows: bool) -> str | None:
    """The oldest driver that runs CUDA `cuda` at all; None for a major version unknown here."""
    pair = FIRST_DRIVER.get(cuda[0]) if cuda else None
    return None if pair is None else pair[on_windows]


def driver_fits(
    driver: str, cuda: Version, *, on_windows: bool
) -> Literal["too old", "limited", "fits"]:
    """How the NVIDIA driver `driver` goes with a runtime of CUDA `cuda`.

    limited: it runs by minor version compatibility, without what its toolkit's driver brought.
    """
    oldest = oldest_driver(cuda, on_windows=on_windows)
    version = version_numbers(driver)
    if oldest is not None and version < version_numbers(oldest):
        return "too old"
    own = TOOLKIT_DRIVER.get((cuda[0], cuda[1]), (None, None))[on_windows] if len(cuda) > 1 \
        else None
    return "limited" if own is not None and version < version_numbers(own) else "fits"


def wheel_architectures(cuda: str | None) -> tuple[str, ...]:
    """What torch's wheel for that CUDA holds; empty where it is not in the table."""
    version = version_numbers(cuda or "")
    return ARCHITECTURES.get((version[0], version[1]), ()) if len(version) > 1 else ()


def has_kernels(capability: Capability, architectures: tuple[str, ...]) -> bool:
    """Whether a build with kernels for `architectures` computes on such a card.

    sm_86 runs on 8.6 and every later 8.x; a trailing `a` on that card alone, a trailing `f` on its
    family; compute_90 (PTX) is compiled for any later card.
    """
    for flag in architectures:
        match = _FLAG.fullmatch(flag)
        if match is None:
            continue
        kind, major, minor, special = match[1], int(match[2]), int(match[3]), match[4]
        if special == "a":
            fits = capability == (major, minor)
        elif kind == "compute":
            fits = capability >= (major, minor)
        else:
            fits = capability[0] == major and capability[1] >= minor
        if fits:
            return True
    return False


def lowest_capability(architectures: tuple[str, ...]) -> str:
    """'7.5' for a build that begins with sm_75; empty where nothing is known."""
    known = [(int(match[2]), int(match[3])) for flag in architectures
             if (match := _FLAG.fullmatch(flag))]
    return ".".join(map(str, min(known))) if known else ""


def build_for(capability: Capability) -> CudaBuild | None:
    """The newest build of torch, of those that launch.py installs, with kernels for such a card."""
    number = float(f"{capability[0]}.{capability[1]}")
    return next((build for build in CUDA_BUILDS
                 if build.lowest_capability <= number <= build.highest_capability), None)
