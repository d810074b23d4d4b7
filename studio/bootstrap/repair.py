"""Making an environment whole again after an install that was cut off.

pip trusts a package's metadata. So metadata that is itself incomplete, or that lists files which
are missing or cut short, is removed: pip then installs that package again.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path


def forget_half_installed(site_packages: Path) -> list[str]:
    """Remove what a cut-off pip left behind; gives the names of packages to install again."""
    if not site_packages.is_dir():
        return []
    for leftover in site_packages.glob("~*"):  # pip's name for a package it is replacing
        _remove(leftover)
    forgotten = []
    folders = sorted(site_packages.glob("*.dist-info"))
    records = {folder: _read_record(folder) for folder in folders}
    owners = Counter(file for record in records.values() for file in record or ())
    for folder, record in records.items():
        if record is None or not _is_whole(site_packages, record, owners):
            _remove(folder)
            forgotten.append(folder.name.split("-")[0])
    return forgotten


def _read_record(folder: Path) -> dict[str, int] | None:
    """File -> size in bytes, of the files that RECORD lists with a size. None if unreadable."""
    try:
        text = (folder / "RECORD").read_text(encoding="utf-8")
        rows = [row for row in csv.reader(text.splitlines()) if len(row) == 3 and row[2]]
        return {row[0]: int(row[2]) for row in rows} if (folder / "METADATA").is_file() else None
    except (OSError, ValueError):
        return None


def _is_whole(site_packages: Path, record: dict[str, int], owners: Counter[str]) -> bool:
    """Whether every file is there with its size. Of a file that two packages bring, such as
    gguf/constants.py, only one has its size, and only its presence counts."""
    for file, size_bytes in record.items():
        try:
            found_bytes = (site_packages / file).stat().st_size
        except OSError:
            return False
        if found_bytes != size_bytes and owners[file] == 1:
            return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
