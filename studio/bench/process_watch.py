"""Runs a process and watches the memory of it and of every process that it starts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import psutil

from studio.child import Child, studio_module
from studio.errors import SetupError

_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Measured:
    """`seconds` is what the process said; `peak_bytes` the highest sum of the memory that belongs
    to it and to what it started, shared pages counted once where the system can tell."""

    seconds: float
    rows: int
    peak_bytes: int


def measured_process(module: str, *arguments: str, cwd: Path) -> Measured:
    """Run a module that says its seconds and rows. Raises SetupError where it fails."""
    last_words, peak_bytes = watched_process(module, *arguments, cwd=cwd)
    said = json.loads(last_words)
    return Measured(said["seconds"], said["rows"], peak_bytes)


def watched_process(module: str, *arguments: str, cwd: Path) -> tuple[str, int]:
    """Run a module of the studio to its end: the last line of its error output, and the peak of
    memory in bytes. Raises SetupError where it fails."""
    peak = 0
    with Child(studio_module(module, *arguments), cwd=cwd) as child:
        process = psutil.Process(child.process_id)
        while not child.has_ended(_LOOK_SECONDS):
            peak = max(peak, _family_bytes(process))
        if not child.has_succeeded:
            raise SetupError(f"A measurement ended early: {child.last_words}", child.said)
        return child.last_words, peak


def _family_bytes(process: psutil.Process) -> int:
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(map(_own_bytes, family))


def _own_bytes(process: psutil.Process) -> int:
    """Of pages shared with others each has its part (PSS); elsewhere than on Linux the whole."""
    try:
        found = process.memory_full_info()
        return int(getattr(found, "pss", 0) or found.rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
