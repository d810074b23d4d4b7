"""Merges an adapter into its base: a plain Transformers folder that needs no PEFT to load.

The arithmetic is PEFT's, in the base's full precision as it is stored, in main memory. An
adapter that was trained over a quantised base is merged into the full-precision base, which is
said in a note. The folder appears under its name only when it is whole.
"""

from __future__ import annotations

import shutil
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import WEIGHTS_FILE, AdapterFolder, read_adapter_folder, require_fit
from studio.adapters.kinds import kind_of_peft
from studio.device import Device, release_memory
from studio.errors import ExportError
from studio.export.origin import Origin, find_origin
from studio.export.output import REPORT_FILE, end_if_stopped, growth_reported, refuse_existing
from studio.export.stored import stored_weights
from studio.files import (
    folder_bytes,
    folder_written_whole,
    require_free_bytes,
    safe_name,
    write_json_safely,
)
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.source import ModelFolder

SHARD_SIZE = "4GB"
_MAIN_MEMORY = Device("cpu", "CPU", "float32", 0)
_QUANTISED_NOTE = (
    "The adapter was trained over the base in {how}. It was merged into the base in full "
    "precision, since the quantised weights carry rounding errors; answers may differ a little "
    "from those in the Chat tab."
)
_LOFTQ_NOTE = (
    "The adapter makes up for what rounding to 4 bits took from the base (LoftQ), so it was merged "
    "into the rounded weights, written in full precision."
)


@dataclass(frozen=True)
class MergeResult:
    """The merged folder, its size in bytes, how long it took, and what to know about it."""

    path: Path
    bytes: int
    seconds: float
    notes: tuple[str, ...] = ()


def merge(run_or_adapter: Path, output: Path, settings: Settings, *, progress: Progress = silent,
          stop: ShouldStop = never, overwrite: bool = False) -> MergeResult:
    """Merge the adapter of a run folder or PEFT folder; write a model folder to `output`.

    A run that trained every weight is copied. Raises ExportError (output taken, nothing to
    merge), ModelError (base missing, adapter does not fit), DiskError, Stopped; `output` is then
    as it was before.
    """
    started = time.monotonic()
    output = output.expanduser().absolute()
    if safe_name(output.name) != output.name:
        raise ExportError(f"{output.name!r} is not a name that works on every PC.",
                          f"Use {safe_name(output.name, 'merged')!r}.")
    refuse_existing(output, overwrite)
    origin = find_origin(run_or_adapter)
    with folder_written_whole(output) as folder:
        if origin.is_full_model:
            notes = _copy_model(origin, folder, progress)
        else:
            notes = _merge_into(folder, origin, settings, progress, stop)
        end_if_stopped(stop)
        seconds = time.monotonic() - started
        write_json_safely(folder / REPORT_FILE, _report(origin, folder, notes, seconds))
    return MergeResult(output, folder_bytes(output), time.monotonic() - started, tuple(notes))


def _copy_model(origin: Origin, folder: Path, progress: Progress) -> list[str]:
    size = folder_bytes(origin.path)
    require_free_bytes(folder, size, f"Copying {origin.name}")
    with growth_reported(folder, size, "Copying the model", progress):
        shutil.copytree(origin.path, folder, dirs_exist_ok=True)
    return ["The run trained every weight, so there was nothing to merge: the model was copied."]


def _merge_into(folder: Path, origin: Origin, settings: Settings, progress: Progress,
                stop: ShouldStop) -> list[str]:
    from studio.models.source import find_model

    adapter = read_adapter_folder(origin.path)
    _require_mergeable(adapter)
    base = find_model(origin.model.source, settings, revision=origin.model.revision,
                      trust_remote_code=origin.model.trust_remote_code, progress=progress,
                      stop=stop)
    stored = stored_weights(base.path)
    adapter_bytes = (origin.path / WEIGHTS_FILE).stat().st_size
    require_free_bytes(folder, stored.bytes + adapter_bytes, f"Merging {origin.name}")
    end_if_stopped(stop)
    model = _merged_model(origin, base, adapter, stored.dtype_name, progress, stop)
    with growth_reported(folder, stored.bytes, "Writing the merged model", progress):
        _save(model, base, folder)
    _tokenizer(origin, base).save_pretrained(folder)
    del model
    release_memory(_MAIN_MEMORY)
    if origin.makes_up_for_rounding:
        return [_LOFTQ_NOTE]
    quantization = origin.model.quantization
    return [] if quantization == "none" else [_QUANTISED_NOTE.format(how=quantization)]


def _require_mergeable(adapter: AdapterFolder) -> None:
    kind = kind_of_peft(adapter.method)
    if kind is not None and not kind.merges:
        raise ExportError(
            f"An adapter of {kind.label} cannot be merged: its learned tokens stand before the "
            "text and are no part of any weight.",
            "Pass the adapter folder on as it is: PEFT loads it onto the base.")


def _merged_model(origin: Origin, base: ModelFolder, adapter: AdapterFolder, dtype_name: str,
                  progress: Progress, stop: ShouldStop) -> Any:
    from peft import PeftModel

    from studio.models.loading import load_base

    progress(Step(f"Loading {base.name} in {dtype_name}"))
    as_merged = origin.model.model_copy(update={
        "quantization": "4bit" if origin.makes_up_for_rounding else "none", "dtype": dtype_name,
        "attention": "auto"})
    loaded: Any = load_base(as_merged, base, _MAIN_MEMORY)
    if origin.makes_up_for_rounding:
        import torch

        loaded = loaded.dequantize(getattr(torch, dtype_name))
    require_fit(adapter, loaded, base.name)
    end_if_stopped(stop)
    peft_model = PeftModel.from_pretrained(loaded, str(adapter.path), torch_device="cpu")
    _merge_layers(peft_model, progress, stop)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All adapters are already merged")
        return peft_model.merge_and_unload()


def _merge_layers(peft_model: Any, progress: Progress, stop: ShouldStop) -> None:
    """PEFT merges all layers in one call, but skips merged ones: so this can count and stop."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in peft_model.modules() if isinstance(module, BaseTunerLayer)
              and not hasattr(module, "unload_and_optionally_merge_module")]
    for number, layer in enumerate(layers):
        end_if_stopped(stop)
        progress(Step("Merging layers", number, len(layers), "layers"))
        layer.merge()


def _save(model: Any, base: ModelFolder, folder: Path) -> None:
    from transformers import GenerationConfig

    settings = base.path / "generation_config.json"
    if settings.is_file():
        # Copied as it is: saving refuses some that models were published with.
        model.generation_config = GenerationConfig()
    model.save_pretrained(folder, max_shard_size=SHARD_SIZE)
    if settings.is_file():
        shutil.copyfile(settings, folder / settings.name)


def _tokenizer(origin: Origin, base: ModelFolder) -> Any:
    """The adapter's own, with the chat template that it was trained with; else the base's."""
    from studio.models.loading import load_tokenizer
    from studio.models.source import ModelFolder

    own = (origin.path / "tokenizer_config.json").is_file()
    folder = ModelFolder(origin.path, origin.name, str(origin.path)) if own else base
    return load_tokenizer(folder, trust_remote_code=origin.model.trust_remote_code)


def _report(origin: Origin, folder: Path, notes: list[str], seconds: float) -> dict[str, Any]:
    import peft
    import torch
    import transformers

    from studio import __version__

    return {
        "kind": "merged model", "adapter": origin.name, "base": origin.base_to_show,
        "base_revision": origin.model.revision, "bytes": folder_bytes(folder),
        "seconds": round(seconds, 3), "notes": notes,
        "versions": {"adapter-studio": __version__, "peft": peft.__version__,
                     "torch": torch.__version__, "transformers": transformers.__version__},
    }
