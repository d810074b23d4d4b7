"""The machine that a bench ran on, in one line for its table."""

from __future__ import annotations

import platform

from studio.files import readable_bytes
from studio.hardware.cpu import cpu_name


def machine_line() -> str:
    """Processor, threads, memory, system, and torch."""
    import psutil
    import torch

    memory = readable_bytes(psutil.virtual_memory().total)
    return (f"{cpu_name()}, {psutil.cpu_count()} threads, {memory}, {platform.system()} "
            f"{platform.libc_ver()[0]}, torch {torch.__version__}")
