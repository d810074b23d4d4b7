"""Hand-made PCs for the doctor's checks: a healthy one, and the same with one thing changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from studio.hardware.finding import Facts
from studio.hardware.host import Host
from studio.hardware.installed import TorchBuild
from studio.hardware.library_trial import Trial
from studio.hardware.probe import probe
from studio.settings import GpuSwitches, Settings
from tests.hardware.fake_nvml import Card, FakeNvml

LINUX = Host(system="Linux", machine="x86_64", wsl=None, in_container=False,
             machine_bytes=32 * 10**9, container_limit_bytes=None, swap_bytes=8 * 10**9,
             long_paths=None)
WINDOWS = replace(LINUX, system="Windows", machine="AMD64", long_paths=True)
WSL = replace(LINUX, wsl=2)
MAC = replace(LINUX, system="Darwin", machine="arm64", swap_bytes=0)


def pc(
    settings: Settings, *cards: Card, nvml: FakeNvml | None = None, cuda: str | None = "13.0",
    host: Host = LINUX, trial: Trial | None = None, switches: GpuSwitches | None = None,
    **hardware: Any,
) -> Facts:
    """A PC without a fault but those that are asked for."""
    library = nvml or (FakeNvml(*cards) if cards else FakeNvml(init_error=12))
    usual: dict[str, Any] = {
        "ram_total_bytes": 32 * 10**9, "ram_available_bytes": 20 * 10**9,
        "disk_free_bytes": 200 * 10**9,
        "libraries": {"torch": "2.13.0", "bitsandbytes": "0.50.2"},
    }
    found = replace(probe(settings.home, nvml_library=library), **{**usual, **hardware})
    return Facts(replace(settings, offline=False), found, TorchBuild("2.13.0", cuda),
                 trial or Trial(), host, (3, 12), switches or GpuSwitches())
