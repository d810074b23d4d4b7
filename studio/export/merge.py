"""Merges an adapter into its base: a plain Transformers folder that needs no PEFT to load.

From file to file where that is possible, so that neither the time nor the memory of loading the
base is spent (`stream`), else in memory (`merge_in_memory`), which is said in a note. The base is
merged in full precision as it is stored. The folder appears under its name only when it is whole.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio.adapters.folder import WEIGHTS_FILE, AdapterFolder, read_adapter_folder
from studio.adapters.kinds import kind_of_peft
from studio.allocator import freed_memory_given_back
from studio.errors import ExportError, ModelError
from studio.export.merge_in_memory import merge_in_memory
from studio.export.origin import Origin, find_origin
from studio.export.output import Written, end_if_stopped, folder_to_write, growth_reported, reported
from studio.export.plain_lora import plain_lora
from studio.export.rewriting import copy_generation_settings
from studio.export.stored import StoredWeights, stored_weights
from studio.export.stream import CannotStream, Changes, stored_by_name, write_config, write_merged
from studio.files import (
    disk_errors_told,
    file_sha256,
    folder_bytes,
    folder_written_whole,
    require_free_bytes,
)
from studio.models.folder import ModelFolder, read_config
from studio.models.tokenizer_files import copy_tokenizer, tokenizer_files
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.settings import Settings
from studio.training.environment import made_with

_QUANTISED_NOTE = (
    "The adapter was trained over the base in {how}. It was merged into the base in full "
    "precision, since the quantised weights carry rounding errors; answers may differ a little "
    "from those in the Chat tab."
)
_ROUNDED_NOTE = (
    "The adapter was merged into the base as it was in training, rounded to {how}, written in full "
    "precision: answers are those of the training, and the rounding errors of the base stay."
)
_LOFTQ_NOTE = (
    "The adapter makes up for what rounding to 4 bits took from the base (LoftQ), so it was merged "
    "into the rounded weights, written in full precision."
)
_COPIED_NOTE = "The run trained every weight, so there was nothing to merge: the model was copied."


@dataclass(frozen=True)
class _Merge:
    """What is merged into what. `rounded`: how the base is rounded before, "none" if not."""

    origin: Origin
    adapter: AdapterFolder
    base: ModelFolder
    stored: StoredWeights
    rounded: Literal["none", "8bit", "4bit"]


def merge(run_or_adapter: Path, output: Path, settings: Settings, *, dequantized: bool = False,
          progress: Progress = silent, stop: ShouldStop = never,
          overwrite: bool = False) -> Written:
    """Merge the adapter of a run folder or PEFT folder; write a model folder to `output`.

    With `dequantized` the base is taken as it was in training, in 4 or 8 bits, and written in full
    precision again. A run that trained every weight is copied. Raises ExportError (output taken,
    nothing to merge), ModelError (base missing, adapter does not fit), DiskError, Stopped;
    `output` is then as it was before.
    """
    started = time.monotonic()
    output = folder_to_write(output, overwrite)
    origin = find_origin(run_or_adapter)
    with disk_errors_told(output.parent, "The merged model"), \
            folder_written_whole(output) as folder:
        if origin.is_full_model:
            notes = _copy_model(origin, folder, progress, stop)
        else:
            notes = _merge_into(folder, _found(origin, settings, dequantized, progress, stop),
                                progress, stop)
        end_if_stopped(stop)
        made = reported(output, folder, started, notes, {
            "kind": "merged model", "adapter": origin.name, "base": origin.base_to_show,
            "base_revision": origin.model.revision,
            "versions": made_with(("peft", "torch", "transformers")),
            **_made_of(origin, dequantized)})
    return made


def _copy_model(origin: Origin, folder: Path, progress: Progress, stop: ShouldStop) -> list[str]:
    size = folder_bytes(origin.path)
    require_free_bytes(folder, size, f"Copying {origin.name}")

    def copy_unless_stopped(source: str, target: str) -> None:
        end_if_stopped(stop)
        shutil.copyfile(source, target)

    with growth_reported(folder, size, "Copying the model", progress):
        shutil.copytree(origin.path, folder, dirs_exist_ok=True,
                        copy_function=copy_unless_stopped)
    return [_COPIED_NOTE]


def _found(origin: Origin, settings: Settings, dequantized: bool, progress: Progress,
           stop: ShouldStop) -> _Merge:
    from studio.models.source import find_model

    adapter = read_adapter_folder(origin.path)
    _require_mergeable(adapter)
    model = origin.model
    if dequantized and model.quantization == "none":
        raise ExportError(f"{origin.name} was trained over its base in full precision, so there is "
                          "no rounded one to merge into.", "Merge without that choice.")
    base = find_model(model.source, settings, revision=model.revision,
                      trust_remote_code=model.trust_remote_code, progress=progress, stop=stop)
    rounded = (model.quantization if dequantized else "4bit" if origin.makes_up_for_rounding
               else "none")
    return _Merge(origin, adapter, base, stored_weights(base.path), rounded)


def _require_mergeable(adapter: AdapterFolder) -> None:
    kind = kind_of_peft(adapter.method)
    if kind is not None and not kind.merges:
        raise ExportError(
            f"An adapter of {kind.label} cannot be merged: its learned tokens stand before the "
            "text and are no part of any weight.",
            "Pass the adapter folder on as it is: PEFT loads it onto the base.")


def _merge_into(folder: Path, work: _Merge, progress: Progress, stop: ShouldStop) -> list[str]:
    # A little more than needed: only some of the adapter's tensors may come beside the base's own.
    adapter_bytes = (work.adapter.path / WEIGHTS_FILE).stat().st_size
    require_free_bytes(folder, work.stored.bytes + adapter_bytes, f"Merging {work.origin.name}")
    end_if_stopped(stop)
    notes = _notes(work)
    if work.rounded == "none":
        try:
            _stream(folder, work, progress, stop)
        except CannotStream as reason:
            notes.append(f"The base was loaded into memory as a whole, since {reason}.")
            _in_memory(folder, work, progress, stop)
    else:
        _in_memory(folder, work, progress, stop)
    copy_generation_settings(work.base.path, folder)
    _write_tokenizer(folder, work)
    return notes


def _notes(work: _Merge) -> list[str]:
    how = work.origin.model.quantization
    if work.origin.makes_up_for_rounding:
        return [_LOFTQ_NOTE]
    if work.rounded != "none":
        return [_ROUNDED_NOTE.format(how=how)]
    return [] if how == "none" else [_QUANTISED_NOTE.format(how=how)]


def _stream(folder: Path, work: _Merge, progress: Progress, stop: ShouldStop) -> None:
    """Raises CannotStream before anything is written."""
    changes = _changes(work, progress)
    end_if_stopped(stop)
    write_config(work.base.path, changes, folder)
    with freed_memory_given_back():
        write_merged(work.base.path, changes, folder, progress=progress, stop=stop)


def _changes(work: _Merge, progress: Progress) -> Changes:
    base, stored = work.base, stored_by_name(work.base.path)
    try:
        return plain_lora(work.adapter, read_config(base.path / "config.json"), stored)
    except CannotStream:
        from studio.export.stream_layers import LayerChanges

        progress(Step("Preparing PEFT"))
        return LayerChanges(base, work.adapter, work.stored.dtype_name, stored)


def _in_memory(folder: Path, work: _Merge, progress: Progress, stop: ShouldStop) -> None:
    model = work.origin.model.model_copy(update={"quantization": work.rounded})
    merge_in_memory(folder, model, work.base, work.adapter, work.stored, progress=progress,
                    stop=stop)


def _write_tokenizer(folder: Path, work: _Merge) -> None:
    """The adapter's own, with the chat template that it was trained with; else the base's."""
    own = (work.origin.path / "tokenizer_config.json").is_file()
    source = work.origin.path if own else work.base.path
    if work.origin.model.trust_remote_code:
        from studio.models.loading import load_tokenizer

        # Saving brings the code along that a tokenizer of its own needs.
        load_tokenizer(ModelFolder(source, work.origin.name, str(source)),
                       trust_remote_code=True).save_pretrained(folder)
    elif not copy_tokenizer(source, folder) or not _has_tokenizer(folder):
        raise ModelError(f"Neither {work.origin.name} nor {work.base.name} has a tokenizer.",
                         "Fetch the base again: it needs tokenizer.json beside its weights.")


def _has_tokenizer(folder: Path) -> bool:
    """Whether there is more than a chat template, which says nothing of the tokens."""
    return any(file.suffix != ".jinja" for file in tokenizer_files(folder))


def _made_of(origin: Origin, dequantized: bool) -> dict[str, Any]:
    """Tells a later merge of the same apart from one of other weights, or done otherwise."""
    weights = origin.path / WEIGHTS_FILE
    return {"adapter_sha256": file_sha256(weights) if weights.is_file() else None,
            "dequantized": dequantized}
