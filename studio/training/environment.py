"""What a run was made with: library versions, device, and a fingerprint of its tokens.

Holds nothing that identifies the person or opens a door: no user name, no environment variables.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import __version__
from studio.device import Device
from studio.files import write_json_safely
from studio.runs import Run

if TYPE_CHECKING:
    import datasets

FILE_NAME = "environment.json"
_LIBRARIES = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "tokenizers",
              "safetensors", "bitsandbytes")


def record_environment(run: Run, device: Device, train: datasets.Dataset,
                       held_out: datasets.Dataset | None) -> None:
    """Write environment.json; a resumed run whose data has changed gets a warning."""
    path = run.path / FILE_NAME
    fingerprint = fingerprint_of(train)
    before = _recorded_fingerprint(run)
    if before is not None and before != fingerprint:
        run.append("note", level="warning", text="The training data is not the same as when this "
                   "run was started; the curve before and after cannot be compared.")
    write_json_safely(path, {
        "studio": __version__, "python": platform.python_version(),
        "platform": platform.platform(), "libraries": library_versions(),
        "device": {"kind": device.kind, "name": device.name, "total_bytes": device.total_bytes},
        "data": {"fingerprint": fingerprint, "train_examples": len(train),
                 "eval_examples": len(held_out) if held_out is not None else 0},
    })


def read_environment(run_path: Path) -> dict[str, Any]:
    """What `record_environment` wrote; nothing for a run that never came so far."""
    try:
        found: dict[str, Any] = json.loads(
            (run_path / FILE_NAME).read_text(encoding="utf-8"))
        return dict(found)
    except (OSError, ValueError, TypeError):
        return {}


def made_with(names: Iterable[str]) -> dict[str, str]:
    """Versions of the studio and of these libraries, for what is passed on."""
    return {"adapter-studio": __version__, **library_versions(names)}


def library_versions(names: Iterable[str] = _LIBRARIES) -> dict[str, str]:
    """Installed versions; a missing library is left out."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def fingerprint_of(dataset: datasets.Dataset) -> str:
    """SHA-256 over every column of every example in order."""
    import pyarrow

    digest = hashlib.sha256()
    for batch in dataset.with_format("arrow").iter(10_000):
        for name in dataset.column_names:
            for chunk in batch[name].chunks:
                if not pyarrow.types.is_list(chunk.type):
                    digest.update(repr(chunk.to_pylist()).encode("utf-8", "surrogatepass"))
                    continue
                digest.update(chunk.value_lengths().to_numpy(zero_copy_only=False).tobytes())
                digest.update(chunk.flatten().to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()


def _recorded_fingerprint(run: Run) -> str | None:
    try:
        return str(read_environment(run.path)["data"]["fingerprint"])
    except (KeyError, TypeError):
        return None
