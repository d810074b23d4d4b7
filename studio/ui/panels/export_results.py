"""What lies in the exports folder: whole models, adapters, GGUF files and others, with what their
reports tell. Deletes one where it is asked to; writes nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from studio.adapters.folder import CONFIG_FILE
from studio.errors import BusyError, ExportError
from studio.export.model_merge.merging import KIND as MERGE_OF_MODELS
from studio.export.ollama import default_modelfile
from studio.export.output import REPORT_FILE, read_report, report_file
from studio.export.verify import Verification
from studio.export.verify import read_report as verified
from studio.export.verify.report import report_files
from studio.files import PARTIAL, delete_folder, folder_bytes
from studio.ui.shelf import changed

MERGED_MODEL = "merged model"
"""What the report of a merged adapter calls it."""
Kind = Literal["model folder", "adapter", "GGUF", "folder"]


@dataclass(frozen=True)
class Result:
    """One export. `made_seconds` is the time of its last change, since 1970; `report` is what was
    told when it was written, empty where nothing was; `verification` how it answered, if asked;
    `readme` what a folder that is no model says of itself.
    """

    kind: Kind
    name: str
    path: Path
    size_bytes: int
    made_seconds: float
    report: dict[str, Any] = field(default_factory=dict, compare=False)
    verification: Verification | None = field(default=None, compare=False)
    readme: str = field(default="", compare=False)
    stamp: tuple[int, ...] = ()

    @property
    def has_modelfile(self) -> bool:
        """Whether Ollama can take it in."""
        return self.kind == "GGUF" and default_modelfile(self.path).is_file()


def find_results(exports: Path, pattern: str = "*") -> list[Result]:
    """Every complete export, newest first; half-written ones have another name and are left out."""
    if not exports.is_dir():
        return []
    found = [_result(path, tuple(map(changed, (path, *_told_in(path)))))
             for path in exports.glob(pattern) if not path.name.startswith(PARTIAL)]
    return sorted((one for one in found if one is not None),
                  key=lambda one: (-one.made_seconds, one.name))


def gguf_files(exports: Path) -> list[Path]:
    """The complete GGUF files, newest first."""
    return [one.path for one in find_results(exports, "*.gguf")]


def whole_models(exports: Path) -> list[tuple[str, str]]:
    """(label, folder) of the exported models whose weights are not rounded, newest first: what
    else can be made of, and what can answer as a base."""
    return [(f"{one.name} (export)", str(one.path)) for one in find_results(exports)
            if one.kind == "model folder" and one.report.get("kind", MERGED_MODEL) in (
                MERGED_MODEL, MERGE_OF_MODELS)]


def result_named(exports: Path, name: str) -> Result:
    """The export of that name. Raises ExportError where there is none."""
    found = next((one for one in find_results(exports) if one.name == name), None)
    if found is None:
        raise ExportError(f"There is no export named {name} any more.", "It was deleted already.")
    return found


def delete_result(exports: Path, name: str) -> None:
    """Delete an export and what is told of it. Raises ExportError where there is none of that
    name, and BusyError while another program holds it."""
    found = result_named(exports, name)
    try:
        if found.path.is_dir():
            delete_folder(found.path)
            return
        found.path.unlink()
        for beside in (*exports.glob(f"{name}.*"), default_modelfile(found.path)):
            beside.unlink(missing_ok=True)
    except FileNotFoundError:
        return  # somebody else deleted it at the same moment
    except OSError as error:
        raise BusyError(f"{name} cannot be deleted: {error.strerror or error}.",
                        "Close the programs that use it.") from error


def _told_in(path: Path) -> tuple[Path, Path]:
    """Where the report and the verification of an export are: in its folder, or beside the file."""
    return report_file(path), report_files(path)[0]


@functools.lru_cache(maxsize=512)
def _result(path: Path, stamp: tuple[int, ...]) -> Result | None:
    """Read once until `stamp` changes."""
    try:
        made_seconds = path.stat().st_mtime
        kind = _kind(path)
        size = folder_bytes(path) if path.is_dir() else path.stat().st_size
    except FileNotFoundError:
        # Deleted while this looked.
        return None
    if kind is None:
        return None
    return Result(kind, path.name, path, size, made_seconds, read_report(path), verified(path),
                  _readme(path) if kind == "folder" else "", stamp)


def _kind(path: Path) -> Kind | None:
    if path.is_file():
        return "GGUF" if path.suffix == ".gguf" else None
    if (path / CONFIG_FILE).is_file():
        return "adapter"
    if (path / "config.json").is_file() and any(path.glob("*.safetensors")):
        return "model folder"
    return "folder" if (path / REPORT_FILE).is_file() else None


def _readme(folder: Path) -> str:
    try:
        return (folder / "README.md").read_text(encoding="utf-8")
    except OSError:
        return ""
