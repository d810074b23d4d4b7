"""Making an environment whole again after an install that was cut off.

pip trusts a package's metadata. So metadata that is itself incomplete, or that lists files which
are missing or cut short, is removed: pip then installs that package again.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path


def forget_half_installed(site_packages: Path) -> list[str]:
    """Remove what a cut-off pip left behind; gives the names of packages to install again."""
    if not site_packages.is_dir():
        return []
    for leftover in site_packages.glob("~*"):  # pip's name for a package it is replacing
        _remove(leftover)
    forgotten = []
    for metadata in sorted(site_packages.glob("*.dist-info")):
        if not _is_whole(metadata):
            _remove(metadata)
            forgotten.append(metadata.name.split("-")[0])
    return forgotten


def _is_whole(metadata: Path) -> bool:
    """Whether every file that RECORD lists with a size is there with that size."""
    try:
        record = (metadata / "RECORD").read_text(encoding="utf-8")
        for row in csv.reader(record.splitlines()):
            if len(row) == 3 and row[2]:
                file = metadata.parent / row[0]
                if file.stat().st_size != int(row[2]):
                    return False
        return (metadata / "METADATA").is_file()
    except (OSError, ValueError):
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
