"""Main memory that programs may really use: this PC's, or a container's limit where it is lower.

psutil knows the machine. In a container (Docker, a cluster's job) the kernel ends a program at
the limit of its control group, however much the machine has. Reads /proc and /sys/fs/cgroup
(https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/memory.html); elsewhere than on
Linux there is no such limit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class MainMemory:
    """Sizes in bytes. `machine_bytes` is the whole PC's, `limit_bytes` the container's or None."""

    total_bytes: int
    available_bytes: int
    machine_bytes: int
    limit_bytes: int | None = None


@dataclass(frozen=True)
class ControlGroup:
    """A group with a limit, and where its present use stands."""

    limit_bytes: int
    usage_file: Path
    stat_file: Path
    cache_key: str

    def free_bytes(self) -> int | None:
        """What is left until the limit. File pages that can be dropped count as free, as they do
        for Docker; None where the files cannot be read."""
        used = _number(self.usage_file)
        if used is None:
            return None
        return max(0, self.limit_bytes - used + _droppable_bytes(self.stat_file, self.cache_key))


def read_main_memory() -> MainMemory:
    """Main memory at this moment. Takes a fraction of a millisecond."""
    machine = psutil.virtual_memory()
    return within_limits(machine.total, machine.available, _own_groups())


def within_limits(
    machine_bytes: int, available_bytes: int, groups: tuple[ControlGroup, ...]
) -> MainMemory:
    """The machine's memory cut down to the narrowest group."""
    limits = [group.limit_bytes for group in groups if group.limit_bytes < machine_bytes]
    free = [left for group in groups if (left := group.free_bytes()) is not None]
    return MainMemory(min([machine_bytes, *limits]), min([available_bytes, *free]), machine_bytes,
                      min(limits, default=None))


@functools.cache
def _own_groups() -> tuple[ControlGroup, ...]:
    return limited_groups(CGROUPS, OWN_GROUPS)


def limited_groups(cgroups: Path, own: Path) -> tuple[ControlGroup, ...]:
    """The groups above this process that limit its memory; none where there are no groups."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    found: dict[Path, ControlGroup] = {}
    for folder, names in _folders(cgroups, lines):
        limit = _number(folder / names[0])
        if limit is not None:
            found[folder] = ControlGroup(limit, folder / names[1], folder / "memory.stat",
                                         names[2])
    return tuple(found.values())


_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_UNLIMITED_BYTES = 2**60
"""Version 1 writes its largest page count where there is no limit."""


def _folders(cgroups: Path, lines: list[str]) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Each group from this process's own up to the root, with the names of its files.

    Inside a container the path is often the host's, which does not exist here, and the root is
    the container's own group.
    """
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            root, names = cgroups, _V2
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", _V1
        else:
            continue
        inner = root / path.strip("/")
        for folder in (inner, *inner.parents):
            yield folder, names
            if folder == root:
                break


def _number(file: Path) -> int | None:
    """The one number in a file; None for `max`, for no limit, and where there is no such file."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < _UNLIMITED_BYTES else None


def _droppable_bytes(stat_file: Path, key: str) -> int:
    try:
        for line in stat_file.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(" ")
            if name == key and value.isdigit():
                return int(value)
    except OSError:
        return 0
    return 0
