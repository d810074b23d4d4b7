"""What the doctor's checks look at, and what each of them gives: Facts in, a Finding out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from studio.hardware.host import Host
from studio.hardware.installed import TorchBuild
from studio.hardware.library_trial import Trial
from studio.hardware.probe import Hardware
from studio.hardware.used_gpu import UsedGpu, used_gpu
from studio.settings import GpuSwitches, Settings

if TYPE_CHECKING:
    from studio.hardware.disk import DiskNeeds

Level = Literal["ok", "warning", "problem"]


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
    """All that the checks look at. `disk` is there where a recipe was given."""

    settings: Settings
    hardware: Hardware
    torch: TorchBuild | None
    trial: Trial
    host: Host
    python: tuple[int, int]
    switches: GpuSwitches = field(default_factory=GpuSwitches)
    disk: DiskNeeds | None = None

    @property
    def used(self) -> UsedGpu:
        """The GPU that training would run on."""
        return used_gpu(self.hardware.gpus, self.switches, self.trial.gpu_uuid)
