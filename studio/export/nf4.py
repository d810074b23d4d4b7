"""Writes a model folder in 4 bits as bitsandbytes packs it (NF4): a quarter of the size on disk.

Every linear layer but the head is rounded; embeddings, norms, head, and the experts of a mixture
keep their format. No data is needed. The folder loads in transformers wherever bitsandbytes is
installed, and is what a 4-bit base in the studio holds in memory.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from studio.device import release_memory
from studio.export.output import Written, end_if_stopped, folder_to_write, growth_reported, reported
from studio.export.rewriting import MAIN_MEMORY, save_weights
from studio.export.stored import stored_weights
from studio.export.whole_model import (
    beside_weights_bytes,
    copy_beside_weights,
    copy_card,
    require_whole_model,
    where_it_came_from,
)
from studio.files import (
    folder_written_whole,
    require_free_bytes,
)
from studio.models.folder import ModelFolder
from studio.models.shape import LinearShape, model_shape
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe.model import Model
from studio.settings import Settings
from studio.training.environment import library_versions

_EXPERTS_NOTE = ("The experts of the mixture keep their 16 bits: bitsandbytes rounds linear layers "
                 "only, and transformers holds experts as one block.")
_CARD = ("The weights are in NF4, 4 bits as bitsandbytes packs them: `transformers` loads them "
         "where `bitsandbytes` is installed.")
_BLOCK = 64
"""Weights that share one 8-bit scale; 256 of those share a 32-bit one (QLoRA, arXiv:2305.14314)."""
_TABLES_BYTES = 16 * 4 + 256 * 4
"""Of every layer: the values that 4 and 8 bits stand for."""
_NAMES_BYTES = 900
"""Of every layer: names, shapes and constants of its six tensors."""


def nf4_bytes(model_folder: Path, settings: Settings) -> int:
    """The size to expect, from headers and config.json. Raises ExportError, ModelError."""
    stored = stored_weights(model_folder)
    shape = model_shape(str(model_folder), settings)
    each_bytes = stored.bytes / stored.parameters
    linears = sum(one.inputs * one.outputs * one.count for one in shape.linears)
    rest = int((stored.parameters - linears) * each_bytes)
    return rest + sum(map(_packed_bytes, shape.linears)) + beside_weights_bytes(model_folder)


def _packed_bytes(linear: LinearShape) -> int:
    weights = linear.inputs * linear.outputs
    blocks = -(-weights // _BLOCK)
    scales = blocks + 4 * -(-blocks // 256)
    return linear.count * (-(-weights // 2) + scales + _TABLES_BYTES + _NAMES_BYTES)


def write_nf4(model_folder: Path, output: Path, settings: Settings, *,
              progress: Progress = silent, stop: ShouldStop = never,
              overwrite: bool = False) -> Written:
    """Write the model of a Transformers folder to `output` in NF4, whole or not at all.

    Raises ExportError (output taken, no whole model, already quantised), SetupError (no
    bitsandbytes), DiskError, Stopped.
    """
    started = time.monotonic()
    output = folder_to_write(output, overwrite)
    require_whole_model(model_folder)
    facts = where_it_came_from(model_folder)
    size = nf4_bytes(model_folder, settings)
    shape = model_shape(str(model_folder), settings)
    notes = (_EXPERTS_NOTE,) if any(one.kind == "experts" for one in shape.stacked) else ()
    with folder_written_whole(output) as folder:
        require_free_bytes(folder, size, f"Writing {output.name}")
        _write(model_folder, folder, size, progress, stop)
        copy_beside_weights(model_folder, folder)
        copy_card(model_folder, folder, _CARD)
        end_if_stopped(stop)
        made = reported(output, folder, started, notes, {
            "kind": "NF4 model", "model": model_folder.name, **facts,
            "versions": library_versions(("torch", "transformers", "bitsandbytes"))})
    return made


def _write(model_folder: Path, folder: Path, size_bytes: int, progress: Progress,
           stop: ShouldStop) -> None:
    from studio.models.loading import load_base

    progress(Step(f"Rounding {model_folder.name} to 4 bits"))
    as_stored = Model.model_validate({
        "source": str(model_folder), "quantization": "4bit",
        "dtype": stored_weights(model_folder).dtype_name})
    source = ModelFolder(model_folder, model_folder.name, str(model_folder))
    model: Any = load_base(as_stored, source, MAIN_MEMORY, stop=stop)
    with growth_reported(folder, size_bytes, "Writing the 4-bit model", progress):
        save_weights(model, folder)
    del model
    release_memory(MAIN_MEMORY)
