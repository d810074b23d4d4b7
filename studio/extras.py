"""Packages that only some people need: whether they are here, and the command that fetches them.

Which versions will do stands in pyproject.toml under optional-dependencies.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable

_DISTRIBUTION = "adapter-studio"


def is_installed(module: str) -> bool:
    """Whether `module` can be imported; imports nothing."""
    return importlib.util.find_spec(module) is not None


def install_command(packages: Iterable[str]) -> str:
    """What to type in a terminal, for the very environment that runs the studio. What is not made
    for this system is left out."""
    wanted = " ".join(f'"{text}"' for text in map(_requirement, packages) if text)
    return f'"{sys.executable}" -m pip install {wanted}'


def _requirement(package: str) -> str:
    """`package` with the versions that the studio knows, or alone where that is not recorded;
    empty where it is recorded as not for this system."""
    from packaging.requirements import Requirement

    try:
        recorded = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        recorded = []
    found = next((one for one in map(Requirement, recorded)
                  if one.name.lower() == package.lower()), None)
    if found is None:
        return package
    extras = importlib.metadata.metadata(_DISTRIBUTION).get_all("Provides-Extra") or [""]
    is_for_here = found.marker is None or any(
        found.marker.evaluate({"extra": extra}) for extra in extras)
    return f"{found.name}{found.specifier}" if is_for_here else ""
