"""How much main memory this process has held at most: on Linux, Windows and macOS.

The system's own high-water mark of resident pages, so nothing between two looks is missed. Only
Linux can start the mark anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_START_MARK_ANEW = "5"
"""What the kernel calls resetting the peak resident set (proc_pid_clear_refs(5))."""


def peak_resident_bytes() -> int:
    """The most main memory that this process has held since its start, or since `forget_peak`."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "darwin":
        import resource

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS alone
    return _of_status("VmHWM")


def resident_bytes() -> int:
    """The main memory that this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def forget_peak() -> bool:
    """Start the high-water mark anew from what is held now. False where the system cannot."""
    try:
        _CLEAR.write_text(_START_MARK_ANEW, encoding="ascii")
    except OSError:
        return False
    return True


def _of_status(name: str) -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise OSError(f"{_STATUS} has no line {name}")
