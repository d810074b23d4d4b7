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
    """What to type in a terminal, for the very environment that runs the studio."""
    wanted = " ".join(f'"{_requirement(package)}"' for package in packages)
    return f'"{sys.executable}" -m pip install {wanted}'


def _requirement(package: str) -> str:
    """`package` with the versions that the studio knows, or alone where that is not recorded."""
    from packaging.requirements import Requirement

    try:
        recorded = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        recorded = []
    found = (Requirement(text) for text in recorded)
    return next((f"{one.name}{one.specifier}" for one in found
                 if one.name.lower() == package.lower()), package)
