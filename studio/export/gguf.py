"""Writes a model folder as one GGUF file, for llama.cpp, LM Studio, and Ollama.

The conversion is llama.cpp's own converter in a process of its own. K-quants are not written
here.
"""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Literal, get_args

from studio.child import Child
from studio.errors import ExportError, ModelError
from studio.export.output import end_if_stopped, refuse_existing, written_bytes
from studio.export.stored import stored_weights
from studio.files import PARTIAL, require_free_bytes, safe_name, write_json_safely
from studio.models.folder import check_model_folder
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.settings import Settings

GgufType = Literal["f32", "f16", "bf16", "q8_0"]
GGUF_TYPES: tuple[str, ...] = get_args(GgufType)
# q8_0 stores 32 weights in 34 bytes: one byte each and a 16-bit scale.
_BYTES_PER_WEIGHT = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}


def default_gguf_file(settings: Settings, name: str, outtype: str) -> Path:
    """Where the GGUF of the model `name` goes unless somebody says otherwise."""
    return settings.exports / f"{name}-{outtype}.gguf"


def gguf_bytes(model_folder: Path, outtype: str) -> int:
    """The size to expect, a little too high for q8_0 models with many small tensors."""
    return int(stored_weights(model_folder).parameters * _BYTES_PER_WEIGHT[outtype])


def write_gguf(model_folder: Path, output: Path, outtype: str, settings: Settings, *,
               progress: Progress = silent, stop: ShouldStop = never,
               overwrite: bool = False) -> Path:
    """Convert a Transformers folder to `output`, whole or not at all; gives `output`.

    Raises ExportError (type, name, or model that llama.cpp does not take), DiskError, Stopped.
    """
    started = time.monotonic()
    output = output.expanduser().absolute()
    _check(model_folder, output, outtype)
    refuse_existing(output, overwrite)
    size = gguf_bytes(model_folder, outtype)
    output.parent.mkdir(parents=True, exist_ok=True)
    require_free_bytes(output.parent, size, f"Writing {output.name}")
    beside = output.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}-{output.name}")
    try:
        _convert(model_folder, beside, outtype, size, progress, stop)
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
    write_json_safely(output.with_name(f"{output.name}.json"), {
        "kind": "GGUF", "model": model_folder.name, "type": outtype,
        "bytes": output.stat().st_size, "seconds": round(time.monotonic() - started, 3),
    })
    return output


def _check(model_folder: Path, output: Path, outtype: str) -> None:
    if outtype not in GGUF_TYPES:
        raise ExportError(f"{outtype} is not a GGUF type that is written here.",
                          f"Choose one of {', '.join(GGUF_TYPES)}.")
    if output.suffix != ".gguf" or safe_name(output.name) != output.name:
        raise ExportError(f"{output.name!r} is not a file name for a GGUF that works on every PC.",
                          f"Use {safe_name(output.stem, 'model') + '.gguf'!r}.")
    try:
        check_model_folder(model_folder)
    except ModelError as error:
        raise ExportError(error.message, "Merge the adapter first: a GGUF is made of a whole "
                          "model.") from error
    _refuse_own_code(model_folder)


def _refuse_own_code(model_folder: Path) -> None:
    """The converter would run Python code that lies in the folder."""
    for name in ("config.json", "tokenizer_config.json"):
        file = model_folder / name
        if file.is_file() and "auto_map" in json.loads(file.read_text(encoding="utf-8")):
            raise ExportError(f"{model_folder.name} brings Python code of its own ({name}), which "
                              "the converter would run.", "Such models are not converted here.")


def _convert(model_folder: Path, beside: Path, outtype: str, size_bytes: int, progress: Progress,
             stop: ShouldStop) -> None:
    arguments = ["-m", "convert_hf_to_gguf", str(model_folder.absolute()),
                 "--outfile", str(beside), "--outtype", outtype]
    progress(Step("Reading the model for llama.cpp"))
    with Child(arguments, cwd=beside.parent) as converter:
        while not converter.has_ended():
            end_if_stopped(stop)
            written = written_bytes(beside)
            if written:
                progress(Step("Writing the GGUF", min(written, size_bytes), size_bytes, "bytes"))
    if not converter.has_succeeded:
        raise _refusal(model_folder.name, converter)


def _refusal(name: str, converter: Child) -> ExportError:
    if "pre-tokenizer was not recognized" in converter.said:
        return ExportError(f"llama.cpp does not know the tokenizer of {name}, so no GGUF can be "
                           "made of it.", "Use the merged Transformers folder instead.")
    if "is not supported" in converter.last_words:
        return ExportError(f"llama.cpp does not know the architecture of {name}.",
                           "Use the merged Transformers folder instead.")
    return ExportError(f"llama.cpp's converter could not convert {name}: {converter.last_words}",
                       "Check that the folder loads in Transformers, and that memory suffices.")
