"""What is wrong with this PC for training, and how to mend it.

`diagnose` gathers the facts and runs every check; each check is a small function of the facts
(`checks_gpu.py`, `checks_host.py`, and of disk space here) and gives one Finding, or none where it
does not apply. Nothing is imported that could crash: torch and bitsandbytes are tried in a process
of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from studio.files import readable_bytes
from studio.hardware.checks_gpu import GPU_CHECKS
from studio.hardware.checks_host import HOST_CHECKS
from studio.hardware.disk import COMFORTABLE_SHARE, DiskNeeds, Drive
from studio.hardware.finding import Facts, Finding, Level
from studio.hardware.host import look_at_host
from studio.hardware.installed import installed_torch
from studio.hardware.library_trial import try_libraries
from studio.hardware.nvml import Library
from studio.hardware.probe import probe
from studio.settings import Settings, gpu_switches

__all__ = ["Facts", "Finding", "Level", "diagnose", "disk_findings", "judge"]

LITTLE_DISK_BYTES = 5_000_000_000
COMFORTABLE_DISK_BYTES = 20_000_000_000
"""A 1.5B model: 3 GB in the cache, 3 GB merged, 3 GB as GGUF, checkpoints and data beside it."""
_MORE_ROOM = "Free some space, or start the studio with --home on a larger disk."


def diagnose(
    settings: Settings, *, disk: DiskNeeds | None = None, nvml_library: Library = None
) -> list[Finding]:
    """Every finding, problems first; with `disk` also whether a recipe's files have room.

    Takes 5 to 15 seconds, since torch and bitsandbytes are tried.
    """
    hardware = probe(settings.home, nvml_library=nvml_library)
    return judge(Facts(
        settings, hardware, installed_torch(), try_libraries(hardware.libraries), look_at_host(),
        sys.version_info[:2], gpu_switches(), disk))


def judge(facts: Facts) -> list[Finding]:
    """The findings that follow from `facts`, problems first."""
    found = [finding for check in CHECKS if (finding := check(facts)) is not None]
    if facts.disk is not None:
        found += disk_findings(facts.disk)
    return ranked(found)


def ranked(findings: list[Finding]) -> list[Finding]:
    """Problems, then warnings, then what is well; else in the order they came."""
    order: dict[Level, int] = {"problem": 0, "warning": 1, "ok": 2}
    return sorted(findings, key=lambda finding: order[finding.level])


def check_disk(facts: Facts) -> Finding | None:
    """Enough disk for the model cache, checkpoints, a merge and a GGUF of a usual model.

    Where a recipe is given, `disk_findings` says it exactly.
    """
    if facts.disk is not None:
        return None
    free, where = facts.hardware.disk_free_bytes, facts.hardware.disk_path
    words = f"{readable_bytes(free)} of disk free at {where}"
    if free < LITTLE_DISK_BYTES:
        return Finding("problem", f"Only {words}.", _MORE_ROOM)
    if free < COMFORTABLE_DISK_BYTES:
        return Finding("warning", f"{words}: enough for small models only.", _MORE_ROOM)
    return Finding("ok", f"{words}.")


def disk_findings(needs: DiskNeeds) -> list[Finding]:
    """One finding for each drive that a recipe writes to."""
    return [_drive_finding(drive) for drive in needs.drives]


def _drive_finding(drive: Drive) -> Finding:
    what = drive.names[0] if len(drive.names) == 1 else (
        f"{', '.join(drive.names[:-1])} and {drive.names[-1]}")
    need, free = readable_bytes(drive.needed_bytes), readable_bytes(drive.free_bytes)
    words = f"{what[0].upper()}{what[1:]} take {need} of {free} free at {drive.folder}"
    if not drive.fits:
        short = readable_bytes(drive.needed_bytes - drive.free_bytes)
        return Finding("problem", f"{words}: {short} too little.",
                       f"{_MORE_ROOM} Fewer checkpoints (training.save_total_limit) take less.")
    if drive.needed_bytes > COMFORTABLE_SHARE * drive.free_bytes:
        return Finding("warning", f"{words}: hardly any room is left then.", _MORE_ROOM)
    return Finding("ok", f"{words}.")


CHECKS: tuple[Callable[[Facts], Finding | None], ...] = (*HOST_CHECKS, *GPU_CHECKS, check_disk)
