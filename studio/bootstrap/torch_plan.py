"""Which torch to ask for, and the sentence when the GPU would stay unused.

torch_check.py holds the facts; here they become a decision: with a working NVIDIA driver the
CUDA build is installed without asking, `--torch cpu` declines it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from studio.bootstrap import torch_check
from studio.bootstrap.environment import Environment
from studio.bootstrap.requirements import read_lock
from studio.errors import SetupError


@dataclass(frozen=True)
class TorchPlan:
    """What to add to pip's arguments (nothing: the plain wheel), and what to say."""

    build: str | None = None
    arguments: tuple[str, ...] = ()
    warning: str = ""
    """Said at every start until it no longer holds."""


def plan_torch(environment: Environment, choice: str) -> TorchPlan:
    """Decide before an install. `choice`: auto, cpu, cu126, or cu130."""
    version = read_lock(environment.root)["torch"]
    if choice != "auto":
        return _as_asked(version, choice)
    if not torch_check.driver_is_present():
        return TorchPlan()
    gpus = torch_check.read_gpus(torch_check.find_nvidia_smi())
    if not gpus:
        return TorchPlan(warning=(
            "There is an NVIDIA driver, but it does not answer (nvidia-smi fails or finds no GPU); "
            "training runs on the CPU. Once nvidia-smi works, run: python launch.py --torch auto"
        ))
    build = torch_check.fitting_build(gpus)
    if build is None:
        return TorchPlan(warning=torch_check.why_no_build(gpus[0]))
    installed = torch_check.read_torch(environment.site_packages)
    fits_already = (
        torch_check.plain_build() == build.name
        if installed is None
        else torch_check.can_use(installed, gpus[0])
    )
    if fits_already:
        return TorchPlan()
    return TorchPlan(build.name, tuple(torch_check.wheel_arguments(version, build.name)))


def _as_asked(version: str, choice: str) -> TorchPlan:
    if sys.platform != "darwin":
        return TorchPlan(choice, tuple(torch_check.wheel_arguments(version, choice)))
    if choice == "cpu":
        return TorchPlan()  # the only build there is for macOS, Metal included
    raise SetupError("There are no CUDA builds of torch for macOS.", "Leave out --torch.")


def warning_for(environment: Environment) -> str:
    """For an environment that somebody else manages: the sentence if its torch misses the GPU."""
    installed = torch_check.read_torch(environment.site_packages)
    if installed is None or installed.accelerator or not torch_check.driver_is_present():
        return ""
    gpus = torch_check.read_gpus(torch_check.find_nvidia_smi())
    build = torch_check.fitting_build(gpus) if gpus else None
    if build is None:
        return torch_check.why_no_build(gpus[0]) if gpus else ""
    command = torch_check.mending_command(
        environment.python, installed.public_version, build.name
    )
    return (
        f"{gpus[0].name} stays unused: torch {installed.version} is a CPU-only build. "
        f"To use it, run: {command}"
    )
