"""Writes a LoRA adapter alone as a GGUF, which llama.cpp loads over a GGUF of its base.

llama.cpp takes plain LoRA only: what else an adapter may bring along is refused with the reason,
and a merged model does. The writing happens in a process of its own (`lora_gguf_process.py`).
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from studio.adapters.folder import (
    PREFIX,
    WEIGHTS_FILE,
    AdapterFolder,
    read_adapter_folder,
    require_made_for_plain_base,
)
from studio.errors import ExportError
from studio.export import lora_gguf_process
from studio.export.gguf_output import (
    Growth,
    gguf_written_whole,
    reported,
    require_gguf_name,
    run_writer,
)
from studio.export.origin import Origin
from studio.export.output import Written, refuse_existing
from studio.files import require_free_bytes
from studio.models.source import find_model
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.settings import Settings

_BYTES_PER_NUMBER = {"f32": 4, "f16": 2}
_HEADER_BYTES_PER_TENSOR = 96
_MERGE_INSTEAD = "Merge it into its base and convert the merged model: that works for every kind."
_REFUSED = {
    "use_dora": "it is a DoRA, which also rescales each weight",
    "alora_invocation_tokens": "it wakes up at certain tokens only",
    "modules_to_save": "it brings whole modules of its own along",
    "trainable_token_indices": "it replaces rows of the embedding",
    "target_parameters": "it changes the stacked weights of experts",
    "layer_replication": "it repeats layers of its base",
    "lora_bias": "its matrices have bias terms",
}
"""What a LoRA may be that llama.cpp does not compute, by PEFT's setting, as the end of a sentence.
"""


@dataclass(frozen=True)
class _Pair:
    """The two matrices beside one layer. `scaling`: what PEFT multiplies their product by."""

    layer: str
    a: str
    b: str
    rank: int
    scaling: float


def why_no_lora_gguf(origin: Origin) -> str:
    """Why llama.cpp could not load the adapter alone, as the end of a sentence; empty if it can.

    Reads small files only.
    """
    if origin.is_full_model:
        return "the run trained every weight, so there is no adapter"
    if origin.makes_up_for_rounding:
        return "it makes up for what rounding to 4 bits took from its base (LoftQ)"
    adapter = read_adapter_folder(origin.path)
    if adapter.method != "LORA":
        return f"llama.cpp knows LoRA only, and it is of the kind {adapter.method}"
    for setting, reason in _REFUSED.items():
        if adapter.config.get(setting):
            return reason
    foreign = next((name for name in adapter.shapes if not _is_known(name)), None)
    return f"it holds {foreign}, which is no matrix of a LoRA" if foreign else ""


def lora_gguf_bytes(origin: Origin, outtype: str) -> int:
    """The size to expect."""
    shapes = read_adapter_folder(origin.path).shapes.values()
    return sum(prod(shape) * _BYTES_PER_NUMBER[outtype] + _HEADER_BYTES_PER_TENSOR
               for shape in shapes)


def write_lora_gguf(origin: Origin, output: Path, outtype: str, settings: Settings, *,
                    progress: Progress = silent, stop: ShouldStop = never,
                    overwrite: bool = False) -> Written:
    """Write the adapter of `origin` to `output`, whole or not at all.

    Its base is read for names and sizes (and fetched if it is not here). Raises ExportError
    (type, name, adapter or base that llama.cpp does not take), ModelError, DiskError, Stopped.
    """
    started = time.monotonic()
    output = output.expanduser().absolute()
    if outtype not in _BYTES_PER_NUMBER:
        raise ExportError(f"{outtype} is not a type that an adapter is written in as a GGUF.",
                          f"Choose one of {', '.join(_BYTES_PER_NUMBER)}.")
    require_gguf_name(output)
    refuse_existing(output, overwrite)
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
        request_file = Path(inside) / "request.json"
        request_file.write_text(json.dumps(_request(origin, adapter, base.path, beside, outtype)),
                                encoding="utf-8")
        script = str(Path(lora_gguf_process.__file__).absolute())
        writer = run_writer([script, str(request_file)], [beside], growth, progress, stop)
        if not writer.has_succeeded:
            raise ExportError(f"The adapter {origin.name} cannot be written for llama.cpp: "
                              f"{writer.last_words}", _MERGE_INSTEAD)
    return reported(output, started, (), {
        "kind": "GGUF LoRA", "adapter": origin.name, "base": origin.base_to_show, "type": outtype})


def _is_known(name: str) -> bool:
    """A matrix of the LoRA, or the base's own weight, which PEFT puts beside that of a head."""
    return name.endswith((".lora_A.weight", ".lora_B.weight", ".lora_embedding_A",
                          ".lora_embedding_B", ".base_layer.weight"))


def _request(origin: Origin, adapter: AdapterFolder, base: Path, beside: Path, outtype: str
             ) -> dict[str, Any]:
    """What the process is told. The one alpha in the file stands for alpha / rank at each layer;
    a layer whose scaling is another (rsLoRA, patterns) gets the rest as a factor on its B."""
    alpha = float(adapter.config.get("lora_alpha") or 1)
    return {
        "base": str(base), "weights": str(adapter.path / WEIGHTS_FILE), "output": str(beside),
        "type": outtype, "name": origin.name, "base_name": origin.base_to_show, "alpha": alpha,
        "transposed": bool(adapter.config.get("fan_in_fan_out")),
        "layers": [{"layer": pair.layer, "a": pair.a, "b": pair.b,
                    "factor": pair.scaling / (alpha / pair.rank)} for pair in _pairs(adapter)],
    }


def _pairs(adapter: AdapterFolder) -> list[_Pair]:
    pairs = []
    for a, shape in adapter.shapes.items():
        if ".lora_A." not in a and ".lora_embedding_A" not in a:
            continue
        b = a.replace(".lora_A.", ".lora_B.").replace(".lora_embedding_A", ".lora_embedding_B")
        layer = a.removeprefix(PREFIX).rpartition(".lora_")[0]
        pairs.append(_Pair(layer, a, b, shape[0], _scaling(adapter, layer, shape[0])))
    return pairs


def _scaling(adapter: AdapterFolder, layer: str, rank: int) -> float:
    """As PEFT's LoraModel: alpha over the rank, or over its root (rsLoRA, arXiv:2312.03732)."""
    return adapter.alpha_at(layer) / (rank ** 0.5 if adapter.config.get("use_rslora") else rank)
