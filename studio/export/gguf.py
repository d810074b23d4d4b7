"""Writes a model folder as GGUF files, for llama.cpp, LM Studio, and Ollama.

One conversion by llama.cpp's own converter serves all types that are asked for at once; what it
does not write itself is rounded from its file afterwards. Both happen in processes of their own.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.child import Child, studio_module
from studio.errors import ExportError, SetupError
from studio.export.gguf_output import (
    Growth,
    gguf_written_whole,
    passing_file,
    require_gguf_name,
    run_writer,
)
from studio.export.imatrix import Importance, write_importance
from studio.export.output import Written, file_to_write, reported
from studio.export.stored import stored_tensors
from studio.export.whole_model import require_whole_model, where_it_came_from
from studio.extras import install_command, is_installed
from studio.files import require_free_bytes
from studio.models.folder import weight_files
from studio.models.gguf_mixture import GGUF_TYPES, default_format
from studio.progress import Progress, ShouldStop, Step, never, silent

if TYPE_CHECKING:
    from studio.models.shape import ModelShape
    from studio.settings import Settings

CONVERTED_TYPES = ("f32", "f16", "bf16", "q8_0")
"""Those that llama.cpp's converter writes itself."""
KERNELS = "libgguf"
"""The package that rounds to k-quants."""
_EXACT = {"F16": "f16", "BF16": "bf16"}


@dataclass(frozen=True)
class _Job:
    """One order: the folder, and where each type goes once it is whole."""

    model_folder: Path
    outputs: Mapping[str, Path]
    sizes: Mapping[str, int]
    source_type: str
    source_bytes: int


def default_gguf_file(settings: Settings, name: str, outtype: str) -> Path:
    """Where the GGUF of the model `name` goes unless somebody says otherwise."""
    return settings.exports / f"{name}-{outtype}.gguf"


def gguf_bytes(model_folder: Path, outtype: str, settings: Settings) -> int:
    """The size to expect, within some percent; reads config.json only."""
    from studio.models.shape import model_shape

    return gguf_bytes_of_shape(model_shape(str(model_folder), settings), outtype)


def gguf_bytes_of_shape(shape: ModelShape, outtype: str) -> int:
    """The same of a model that need not be there yet."""
    from studio.hardware.export_memory import gguf_disk

    return sum(part.bytes for part in gguf_disk(shape, outtype))


def are_rounded(outtypes: Collection[str]) -> bool:
    """Whether these are written from another GGUF, which holds the weights as they are stored."""
    return len(outtypes) > 1 or not set(outtypes) <= set(CONVERTED_TYPES)


def write_gguf(model_folder: Path, output: Path, outtype: str, settings: Settings, *,
               progress: Progress = silent, stop: ShouldStop = never,
               overwrite: bool = False) -> Written:
    """Convert a Transformers folder to `output`, whole or not at all.

    Raises ExportError (type, name, or model that llama.cpp does not take), SetupError (a k-quant
    without its package), DiskError, Stopped.
    """
    return write_ggufs(model_folder, {outtype: output}, settings, progress=progress, stop=stop,
                       overwrite=overwrite)[outtype]


def write_ggufs(model_folder: Path, outputs: Mapping[str, Path], settings: Settings, *,
                importance: Importance | None = None, progress: Progress = silent,
                stop: ShouldStop = never, overwrite: bool = False) -> dict[str, Written]:
    """Convert a Transformers folder once and write each type to its file, all of them or none.

    With `importance` the k-quants lose least where the model's own data needs it. Raises what
    `write_gguf` raises, and DataError where those data cannot be read.
    """
    started = time.monotonic()
    for outtype, output in outputs.items():
        _check(output, outtype)
    outputs = {outtype: file_to_write(path, overwrite) for outtype, path in outputs.items()}
    require_whole_model(model_folder)
    facts = where_it_came_from(model_folder)
    job = _job(model_folder, outputs, settings)
    _require_room(job)
    with tempfile.TemporaryDirectory() as inside:
        matrix: Path | None = None
        notes: tuple[str, ...] = ()
        if importance is not None and any(map(_is_k_quant, outputs)):
            matrix = Path(inside) / "imatrix.gguf"
            notes = write_importance(model_folder, matrix, importance, settings,
                                     progress=progress, stop=stop)
        _write(job, matrix, progress, stop)
    return {outtype: reported(output, output, started, notes if _is_k_quant(outtype) else (), {
        "kind": "GGUF", "model": model_folder.name, **facts, "type": outtype})
        for outtype, output in outputs.items()}


def _is_k_quant(outtype: str) -> bool:
    return default_format(outtype).endswith("_K")


def _check(output: Path, outtype: str) -> None:
    if outtype not in GGUF_TYPES:
        raise ExportError(f"{outtype} is not a GGUF type that is written here.",
                          f"Choose one of {', '.join(GGUF_TYPES)}.")
    require_gguf_name(output)
    if _is_k_quant(outtype) and not is_installed(KERNELS):
        raise SetupError(f"Rounding to {outtype} needs {KERNELS}, which is not installed.",
                         f"Install it with: {install_command([KERNELS])}")


def _job(model_folder: Path, outputs: Mapping[str, Path], settings: Settings) -> _Job:
    sizes = {outtype: gguf_bytes(model_folder, outtype, settings) for outtype in outputs}
    source_type = _exact_type(model_folder) if are_rounded(outputs) else next(iter(outputs))
    source_bytes = sizes.get(source_type) or gguf_bytes(model_folder, source_type, settings)
    return _Job(model_folder, outputs, sizes, source_type, source_bytes)


def _exact_type(model_folder: Path) -> str:
    """The type that holds every matrix as it is stored."""
    stored = {one.dtype for file in weight_files(model_folder) for one in stored_tensors(file)
              if len(one.shape) > 1}
    return _EXACT.get(stored.pop(), "f32") if len(stored) == 1 else "f32"


def _require_room(job: _Job) -> None:
    needed = sum(job.sizes.values())
    if job.source_type not in job.outputs:
        needed += job.source_bytes
    first = next(iter(job.outputs.values()))
    first.parent.mkdir(parents=True, exist_ok=True)
    names = ", ".join(output.name for output in job.outputs.values())
    require_free_bytes(first.parent, needed, f"Writing {names}")


def _write(job: _Job, matrix: Path | None, progress: Progress, stop: ShouldStop) -> None:
    with ExitStack() as stack:
        beside = {outtype: stack.enter_context(gguf_written_whole(output))
                  for outtype, output in job.outputs.items()}
        source = beside.pop(job.source_type, None) or stack.enter_context(
            passing_file(next(iter(job.outputs.values()))))
        _convert(job, source, progress, stop)
        if beside:
            _round(job, source, beside, matrix, progress, stop)


def _convert(job: _Job, source: Path, progress: Progress, stop: ShouldStop) -> None:
    progress(Step("Reading the model for llama.cpp"))
    converter = run_writer(
        ["-m", "convert_hf_to_gguf", str(job.model_folder.absolute()), "--outfile", str(source),
         "--outtype", job.source_type],
        [source], Growth("Writing the GGUF", job.source_bytes), progress, stop)
    if not converter.has_succeeded:
        raise _refusal(job.model_folder.name, converter)


def _round(job: _Job, source: Path, beside: Mapping[str, Path], matrix: Path | None,
           progress: Progress, stop: ShouldStop) -> None:
    with tempfile.TemporaryDirectory() as inside:
        request_file = Path(inside) / "request.json"
        request_file.write_text(json.dumps({
            "parent": os.getpid(), "source": str(source),
            "importance": str(matrix) if matrix else None,
            "outputs": [{"type": outtype, "path": str(path)} for outtype, path in beside.items()],
        }), encoding="utf-8")
        total_bytes = sum(job.sizes[outtype] for outtype in beside)
        child = run_writer(
            studio_module("studio.export.gguf_rounding_process", str(request_file)),
            list(beside.values()), Growth("Rounding the weights", total_bytes), progress, stop)
    if not child.has_succeeded:
        raise ExportError(f"{job.model_folder.name} could not be rounded: {child.last_words}",
                          "Choose another type, and check that memory suffices.")


def _refusal(name: str, converter: Child) -> ExportError:
    if "pre-tokenizer was not recognized" in converter.said:
        return ExportError(f"llama.cpp does not know the tokenizer of {name}, so no GGUF can be "
                           "made of it.", "Use the merged Transformers folder instead.")
    if "is not supported" in converter.last_words:
        return ExportError(f"llama.cpp does not know the architecture of {name}.",
                           "Use the merged Transformers folder instead.")
    return ExportError(f"llama.cpp's converter could not convert {name}: {converter.last_words}",
                       "Check that the folder loads in Transformers, and that memory suffices.")
