"""What the studio runs on besides the hardware: WSL, a container, swap, Windows switches, Macs.

Only looks; what of it matters is said by `checks_host.py`.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from studio.main_memory import read_main_memory

VERSION_FILE = Path("/proc/version")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Left by Docker and by Podman."""


@dataclass(frozen=True)
class Host:
    """The system around this program. Sizes in bytes.

    `wsl` is the version of the Windows Subsystem for Linux, or None. `container_limit_bytes` is
    None where nothing below the machine's memory limits this program. `long_paths` is None
    elsewhere than on Windows, and where it cannot be read.
    """

    system: str
    machine: str
    wsl: Literal[1, 2] | None
    in_container: bool
    machine_bytes: int
    container_limit_bytes: int | None
    swap_bytes: int
    long_paths: bool | None

    @property
    def on_windows(self) -> bool:
        """Windows itself, not a Linux inside it."""
        return self.system == "Windows"

    @property
    def is_apple_silicon(self) -> bool:
        """A Mac whose GPU torch can use."""
        return self.system == "Darwin" and self.machine == "arm64"


def look_at_host() -> Host:
    """This PC's, now."""
    memory = read_main_memory()
    system = platform.system()
    return Host(
        system=system, machine=platform.machine(), wsl=wsl_version(_kernel()),
        in_container=is_in_container(), machine_bytes=memory.machine_bytes,
        container_limit_bytes=memory.limit_bytes, swap_bytes=_swap_bytes(),
        long_paths=_long_paths() if system == "Windows" else None,
    )


def wsl_version(kernel: str) -> Literal[1, 2] | None:
    """From the text of /proc/version: WSL 1 calls itself Microsoft, WSL 2 microsoft-...-WSL2."""
    if "microsoft" not in kernel.lower():
        return None
    return 2 if "WSL2" in kernel or "microsoft-standard" in kernel else 1


def is_in_container() -> bool:
    """True inside Docker or Podman, whose process numbers are not the driver's."""
    return any(mark.exists() for mark in CONTAINER_MARKS)


def windows_drive(path: Path) -> str | None:
    """'C' for a folder below /mnt/c, where WSL shows Windows' drives; else None."""
    parts = path.parts
    if len(parts) > 2 and parts[:2] == ("/", "mnt") and len(parts[2]) == 1 and parts[2].isalpha():
        return parts[2].upper()
    return None


def _kernel() -> str:
    try:
        return VERSION_FILE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _swap_bytes() -> int:
    try:
        return int(psutil.swap_memory().total)
    except (OSError, RuntimeError):  # some containers hide /proc/vmstat or /proc/swaps
        return 0


def _long_paths() -> bool | None:
    import importlib

    # Not a plain import: the module exists on Windows alone.
    winreg = importlib.import_module("winreg")
    key = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return bool(winreg.QueryValueEx(opened, "LongPathsEnabled")[0])
    except OSError:
        return None
