"""A LoRA alone as llama.cpp takes it, as a GGUF over a GGUF of its base: which can be, and how.

llama.cpp takes plain LoRA only: what else an adapter may bring along is refused with the reason.
The writing happens in a process of its own (`gguf_lora_process.py`); who runs it, and where the
file goes, is the business of the export and of the chat.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from studio.adapters import gguf_lora_process
from studio.adapters.folder import PREFIX, WEIGHTS_FILE, AdapterFolder

BYTES_PER_NUMBER = {"f32": 4, "f16": 2}
"""What such a file is written in."""
_HEADER_BYTES_PER_TENSOR = 96
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


def why_no_gguf_lora(adapter: AdapterFolder) -> str:
    """Why llama.cpp could not load it alone, as the end of a sentence; empty if it can."""
    if adapter.method != "LORA":
        return f"llama.cpp knows LoRA only, and it is of the kind {adapter.method}"
    for setting, reason in _REFUSED.items():
        if adapter.config.get(setting):
            return reason
    foreign = next((name for name in adapter.shapes if not _is_known(name)), None)
    return f"it holds {foreign}, which is no matrix of a LoRA" if foreign else ""


def gguf_lora_bytes(adapter: AdapterFolder, outtype: str) -> int:
    """The size to expect."""
    return sum(prod(shape) * BYTES_PER_NUMBER[outtype] + _HEADER_BYTES_PER_TENSOR
               for shape in adapter.shapes.values())


def writer_arguments(adapter: AdapterFolder, base: Path, output: Path, outtype: str,
                     request_file: Path, *, name: str, base_name: str) -> list[str]:
    """What to run Python with, so that it writes `output`; its last words say why it could not.

    Of the Transformers folder `base` names and sizes are read. `name` and `base_name` go into the
    file, which may be passed on. The request is left in `request_file`.
    """
    request = _request(adapter, base, output, outtype) | {"name": name, "base_name": base_name}
    request_file.write_text(json.dumps(request), encoding="utf-8")
    return [str(Path(gguf_lora_process.__file__).absolute()), str(request_file)]


def _is_known(name: str) -> bool:
    """A matrix of the LoRA, or the base's own weight, which PEFT puts beside that of a head."""
    return name.endswith((".lora_A.weight", ".lora_B.weight", ".lora_embedding_A",
                          ".lora_embedding_B", ".base_layer.weight"))


def _request(adapter: AdapterFolder, base: Path, output: Path, outtype: str) -> dict[str, Any]:
    """The one alpha in the file stands for alpha / rank at each layer; a layer whose scaling is
    another (rsLoRA, patterns) gets the rest as a factor on its B."""
    alpha = float(adapter.config.get("lora_alpha") or 1)
    return {
        "base": str(base), "weights": str(adapter.path / WEIGHTS_FILE), "output": str(output),
        "type": outtype, "alpha": alpha,
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
