"""PEFT adapters over a GGUF file: each is written as a GGUF LoRA once, and kept in the cache.

Kept by what is in the adapter, so that one that was made anew is written anew. A kept one whose
adapter is gone or is another by now goes when the next one is written.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    AdapterFolder,
    is_full_model,
    known_adapter_folder,
    read_adapter_folder,
    require_made_for_plain_base,
)
from studio.adapters.gguf_fit import require_fit_gguf, require_lora_fits
from studio.adapters.gguf_lora import gguf_lora_bytes, why_no_gguf_lora, writer_arguments
from studio.adapters.trained_on import trained_on
from studio.child import Child
from studio.errors import ModelError
from studio.files import (
    delete_folder,
    folder_written_whole,
    remove_leftovers,
    require_free_bytes,
    write_json_safely,
)
from studio.models.gguf_file import checked_gguf, is_gguf
from studio.models.source import find_on_this_pc, is_on_this_pc
from studio.progress import Progress, Step, silent
from studio.recipe import Model
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.chat.session import Column

WRITTEN_AS = "f32"
"""The numbers that PEFT computes with, too."""
_FORM = "1"
"""Another one where the files are written otherwise than before: they are then written anew."""
_FILE, _ABOUT = "adapter.gguf", "about.json"
_INSTEAD = ("Choose the base that it was trained on, or merge it on the Export tab, write the "
            "merged model as a GGUF, and choose that.")


def gguf_adapters_folder(settings: Settings) -> Path:
    """Where they are kept."""
    return settings.cache / "gguf-adapters"


def as_gguf_adapter(path: Path, base: Path, settings: Settings, name: str, *,
                    progress: Progress = silent) -> Path:
    """The GGUF LoRA that counts over `base` for the adapter at `path`: a file as it is, a PEFT
    folder as it was written. `name` is what the person calls it.

    Raises ModelError for an adapter that llama.cpp does not take, or that does not fit the file.
    """
    if is_gguf(path.name):
        return checked_gguf(path)
    adapter = require_possible(path, base, settings, name)
    model = trained_on(path).model
    kept = gguf_adapters_folder(settings) / _fingerprint(adapter, model)
    if not (kept / _FILE).is_file():
        progress(Step(f"Writing {name} for llama.cpp"))
        _sweep(kept.parent)
        _write(adapter, model, kept, settings, name)
    require_lora_fits(kept / _FILE, base, name)
    return kept / _FILE


def as_gguf_adapters(columns: Sequence[Column], base: Path, settings: Settings,
                     known: Mapping[Path, Path] | None = None, *,
                     progress: Progress = silent) -> dict[Path, Path]:
    """The same for all adapters of `columns`, each once, by the path that its columns name. What
    is `known` stays, also where its folder has gone."""
    found: dict[Path, Path] = {}
    for column in columns:
        path = column.adapter_path
        if path is not None and path not in found:
            found[path] = (known or {}).get(path) or as_gguf_adapter(
                path, base, settings, column.name, progress=progress)
    return found


def strengths_of(column: Column, adapters: Mapping[Path, Path], files: Sequence[Path]
                 ) -> list[float]:
    """How much each of `files` counts in that column: only its own, which `adapters` names."""
    own = column.adapter_path and adapters[column.adapter_path]
    return [column.strength if file == own else 0.0 for file in files]


def require_possible(path: Path, base: Path, settings: Settings, name: str) -> AdapterFolder:
    """The adapter in the folder `path`. Raises ModelError unless it can be written for llama.cpp
    and, by its layers, fits `base`. Reads small files only."""
    if is_full_model(path):
        raise ModelError(f"{name} is a whole model and no adapter: that run trained every weight.",
                         "Write it as a GGUF on the Export tab, and choose that as the base.")
    adapter = read_adapter_folder(path)
    if adapter.judges:
        raise ModelError(f"{name} makes the base a reward model, which judges answers and writes "
                         "none.", "Choose another adapter.")
    source = trained_on(path)
    reason = why_no_gguf_lora(adapter)
    if source.makes_up_for_rounding:
        reason = "it makes up for what rounding to 4 bits took from its base (LoftQ)"
    if reason:
        raise ModelError(f"{name} cannot answer over a GGUF file: {reason}.", _INSTEAD)
    require_made_for_plain_base(adapter, base.name)
    require_fit_gguf(adapter, base, name)
    if not is_on_this_pc(source.model, settings):
        raise ModelError(
            f"{name} was trained on {source.model.source}, which is not on this PC. llama.cpp "
            "stores some layers in another order, and only that base tells which.",
            "Choose that base once, which fetches it, or choose another adapter.")
    return adapter


def adapter_bytes(path: Path) -> int:
    """What an adapter takes in llama.cpp: of a file its size, of a PEFT folder the size to expect.
    Raises ModelError."""
    if is_gguf(path.name):
        return checked_gguf(path).stat().st_size
    return gguf_lora_bytes(known_adapter_folder(path), WRITTEN_AS)


def what_counts(path: Path) -> Path:
    """The file that is another one where the adapter at `path` is."""
    return path if is_gguf(path.name) else path / WEIGHTS_FILE


def _write(adapter: AdapterFolder, model: Model, kept: Path, settings: Settings,
           name: str) -> None:
    """Whole or not at all; one that another program wrote meanwhile stays."""
    base = find_on_this_pc(model, settings)
    assert base is not None, "require_possible looks"
    kept.parent.mkdir(parents=True, exist_ok=True)
    require_free_bytes(kept.parent, gguf_lora_bytes(adapter, WRITTEN_AS), f"Writing {name}")
    with folder_written_whole(kept, first_wins=True) as beside, \
            tempfile.TemporaryDirectory() as inside:
        arguments = writer_arguments(
            adapter, base.path, beside / _FILE, WRITTEN_AS, Path(inside) / "request.json",
            name=name, base_name=base.name)
        with Child(arguments, cwd=Path(inside)) as child:
            while not child.has_ended():
                pass
        if not child.has_succeeded:
            raise ModelError(f"{name} cannot be written for llama.cpp: {child.last_words}",
                             _INSTEAD)
        write_json_safely(beside / _ABOUT, {"adapter": str(adapter.path), **_state(adapter.path)})


def _fingerprint(adapter: AdapterFolder, model: Model) -> str:
    """Of all that decides what is written."""
    about = json.dumps([_FORM, WRITTEN_AS, model.source, model.revision])
    found = hashlib.sha256(about.encode())
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        with (adapter.path / name).open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:32]


def _state(path: Path) -> dict[str, Any]:
    return {name: (path / name).stat().st_mtime_ns for name in (CONFIG_FILE, WEIGHTS_FILE)}


def _sweep(folder: Path) -> None:
    """Delete what is kept of adapters that are gone, or others by now."""
    if not folder.is_dir():
        return
    remove_leftovers(folder)
    for file in folder.glob(f"*/{_ABOUT}"):
        if _is_stale(file):
            try:
                delete_folder(file.parent)
            except OSError:  # Windows, while a program reads it: next time
                continue


def _is_stale(about: Path) -> bool:
    try:
        told = json.loads(about.read_text(encoding="utf-8"))
        return any(told[name] != value for name, value in _state(Path(told["adapter"])).items())
    except (OSError, ValueError, KeyError, TypeError):
        return True
