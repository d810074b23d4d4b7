"""Writes requirements.lock from an environment that was tested: `python -m studio.bootstrap.lock`.

For whoever changes dependencies, run inside a complete environment. Keeps what the project and
its test extra need, transitively, and marks what only the tests need.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from studio.bootstrap.main import ROOT
from studio.bootstrap.requirements import (
    LOCK_NAME,
    TEST_ONLY,
    normalised,
    read_requirements,
)

HEADER = """\
# Exact versions of everything the studio was tested with, transitive packages included.
# A constraints file: pip install -c requirements.lock -e .  torch carries no local suffix, so
# that a CPU or a CUDA build of the same release both fit; what only one platform needs is pinned
# by the packages that ask for it. Written by: python -m studio.bootstrap.lock
"""


def needed(roots: Iterable[str]) -> dict[str, str]:
    """Package -> installed version, of these requirements and all that they need here.

    A package that is not installed is left out: it belongs to another platform.
    """
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in roots]
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *sorted(requirement.extras)):
            key = (normalised(requirement.name), extra)
            if key in seen:
                continue
            seen.add(key)
            try:
                distribution = importlib.metadata.distribution(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                continue
            found[key[0]] = distribution.version.partition("+")[0]
            for text in distribution.requires or ():
                child = Requirement(text)
                if child.marker is None or child.marker.evaluate({"extra": extra}):
                    waiting.append(child)
    return found


def lock_text(root: Path) -> str:
    """The whole lock for the environment this runs in."""
    project = needed(requirement.text for requirement in read_requirements(root))
    everything = needed(requirement.text for requirement in read_requirements(root, ("test",)))
    lines = [
        f"{name}=={version}" + ("" if name in project else f"  {TEST_ONLY}")
        for name, version in sorted(everything.items())
    ]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / LOCK_NAME).write_text(lock_text(ROOT), encoding="utf-8", newline="\n")
