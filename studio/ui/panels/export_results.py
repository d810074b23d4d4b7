"""What lies in the exports folder: merged model folders and GGUF files. Reads, never writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from studio.files import PARTIAL, folder_bytes

Kind = Literal["model folder", "GGUF"]


@dataclass(frozen=True)
class Result:
    """One export. `made_seconds` is the time of its last change, since 1970."""

    kind: Kind
    name: str
    path: Path
    size_bytes: int
    made_seconds: float


def find_results(exports: Path) -> list[Result]:
    """Every complete export, newest first; half-written ones have another name and are left out."""
    if not exports.is_dir():
        return []
    found = [_result(path) for path in exports.iterdir() if not path.name.startswith(PARTIAL)]
    return sorted((one for one in found if one is not None),
                  key=lambda one: (-one.made_seconds, one.name))


def _result(path: Path) -> Result | None:
    try:
        made_seconds = path.stat().st_mtime
        if path.is_file() and path.suffix == ".gguf":
            return Result("GGUF", path.name, path, path.stat().st_size, made_seconds)
        if (path / "config.json").is_file() and any(path.glob("*.safetensors")):
            return Result("model folder", path.name, path, folder_bytes(path), made_seconds)
    except FileNotFoundError:
        # Deleted while this looked.
        return None
    return None
