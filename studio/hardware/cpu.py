"""The processor's name on Linux, Windows and macOS. Does not count cores or measure load."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def cpu_name(system: str | None = None) -> str:
    """The name that the maker gave it, or the architecture where no system call tells."""
    readers = {"Linux": _linux_name, "Windows": _windows_name, "Darwin": _mac_name}
    reader = readers.get(system or platform.system())
    name = reader() if reader else ""
    return name or platform.processor() or platform.machine() or "unknown processor"


def name_in_cpuinfo(text: str) -> str:
    """The processor's name in the text of /proc/cpuinfo; empty where it has none (most ARM)."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "cpu model"):
            return " ".join(value.split())
    return ""


def _linux_name() -> str:
    try:
        return name_in_cpuinfo(CPUINFO.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""


def _windows_name() -> str:
    import importlib

    # Not a plain import: the module exists on Windows alone.
    winreg = importlib.import_module("winreg")
    key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return " ".join(str(winreg.QueryValueEx(opened, "ProcessorNameString")[0]).split())
    except OSError:
        return ""


def _mac_name() -> str:
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
