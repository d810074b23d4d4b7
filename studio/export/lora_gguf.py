"""Writes a LoRA adapter alone as a GGUF, which llama.cpp loads over a GGUF of its base.

What llama.cpp cannot load is refused with the reason, and a merged model does. Which adapters can
be written, and how, is in `studio/adapters/gguf_lora.py`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from studio.adapters.folder import read_adapter_folder, require_made_for_plain_base
from studio.adapters.gguf_lora import (
    BYTES_PER_NUMBER,
    gguf_lora_bytes,
    why_no_gguf_lora,
    writer_arguments,
)
from studio.errors import ExportError
from studio.export.gguf_output import (
    Growth,
    gguf_written_whole,
    require_gguf_name,
    run_writer,
)
from studio.export.origin import Origin
from studio.export.output import Written, file_to_write, reported
from studio.files import require_free_bytes
from studio.models.source import find_model
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.settings import Settings

_MERGE_INSTEAD = "Merge it into its base and convert the merged model: that works for every kind."


def why_no_lora_gguf(origin: Origin) -> str:
    """Why llama.cpp could not load the adapter alone, as the end of a sentence; empty if it can.

    Reads small files only.
    """
    if origin.is_full_model:
        return "the run trained every weight, so there is no adapter"
    if origin.makes_up_for_rounding:
        return "it makes up for what rounding to 4 bits took from its base (LoftQ)"
    return why_no_gguf_lora(read_adapter_folder(origin.path))


def lora_gguf_bytes(origin: Origin, outtype: str) -> int:
    """The size to expect."""
    return gguf_lora_bytes(read_adapter_folder(origin.path), outtype)


def write_lora_gguf(origin: Origin, output: Path, outtype: str, settings: Settings, *,
                    progress: Progress = silent, stop: ShouldStop = never,
                    overwrite: bool = False) -> Written:
    """Write the adapter of `origin` to `output`, whole or not at all.

    Its base is read for names and sizes (and fetched if it is not here). Raises ExportError
    (type, name, adapter or base that llama.cpp does not take), ModelError, DiskError, Stopped.
    """
    started = time.monotonic()
    if outtype not in BYTES_PER_NUMBER:
        raise ExportError(f"{outtype} is not a type that an adapter is written in as a GGUF.",
                          f"Choose one of {', '.join(BYTES_PER_NUMBER)}.")
    require_gguf_name(output)
    output = file_to_write(output, overwrite)
    reason = why_no_lora_gguf(origin)
    if reason:
        raise ExportError(f"The adapter {origin.name} cannot be loaded by llama.cpp on its own: "
                          f"{reason}.", _MERGE_INSTEAD)
    adapter = read_adapter_folder(origin.path)
    require_made_for_plain_base(adapter, origin.base_to_show)
    base = find_model(origin.model.source, settings, revision=origin.model.revision,
                      progress=progress, stop=stop)
    output.parent.mkdir(parents=True, exist_ok=True)
    growth = Growth("Writing the adapter for llama.cpp", lora_gguf_bytes(origin, outtype))
    require_free_bytes(output.parent, growth.total_bytes, f"Writing {output.name}")
    progress(Step(growth.what))
    with gguf_written_whole(output) as beside, tempfile.TemporaryDirectory() as inside:
        arguments = writer_arguments(
            adapter, base.path, beside, outtype, Path(inside) / "request.json", name=origin.name,
            base_name=origin.base_to_show)
        writer = run_writer(arguments, [beside], growth, progress, stop)
        if not writer.has_succeeded:
            raise ExportError(f"The adapter {origin.name} cannot be written for llama.cpp: "
                              f"{writer.last_words}", _MERGE_INSTEAD)
    return reported(output, output, started, (), {
        "kind": "GGUF LoRA", "adapter": origin.name, "base": origin.base_to_show, "type": outtype})
