"""The note inside an environment that says: complete, with this lock, on this Python.

Written last and in one move, so a half-finished install has none. Reading it is what makes the
second start cost milliseconds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

STAMP_NAME = "adapter-studio.json"


@dataclass(frozen=True)
class Stamp:
    """What was true when the install finished."""

    fingerprints: dict[str, str] = field(default_factory=dict)
    """Extras, joined by commas ("" for none), -> fingerprint of the requirements then."""
    python: str = ""
    """The base interpreter's file, which goes away when that Python is replaced."""
    torch: str = "auto"
    """Which build was asked for: auto, cpu, or a CUDA build such as cu130."""
    warning: str = ""
    """The sentence for every start if torch cannot use the GPU that is there."""


def read_stamp(environment: Path) -> Stamp | None:
    """The stamp, or None if the environment is not known to be complete."""
    try:
        return Stamp(**json.loads((environment / STAMP_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        # Absent, torn, or written by another release: the install is looked over again.
        return None


def write_stamp(environment: Path, stamp: Stamp) -> None:
    """Put the stamp in place in one move."""
    waiting = environment / (STAMP_NAME + ".part")
    waiting.write_text(json.dumps(asdict(stamp), indent=1), encoding="utf-8")
    waiting.replace(environment / STAMP_NAME)


def remove_stamp(environment: Path) -> None:
    """From here on the environment counts as half-finished."""
    (environment / STAMP_NAME).unlink(missing_ok=True)
