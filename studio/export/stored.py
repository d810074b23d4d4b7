"""What the weights of a model folder weigh, read from the headers of its safetensors files."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

from studio.errors import ExportError
from studio.models.folder import read_config, weight_files

_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class StoredWeights:
    """`dtype_name` is the format of most parameters, as torch spells it; sizes in bytes."""

    parameters: int
    bytes: int
    dtype_name: str


def stored_weights(folder: Path) -> StoredWeights:
    """Count what lies in `folder`. Raises ExportError where the weights are quantised."""
    if read_config(folder / "config.json").get("quantization_config"):
        raise ExportError(f"{folder.name} is stored quantised, and cannot be merged or converted.",
                          "Choose the model in its full precision.")
    parameters: Counter[str] = Counter()
    files = weight_files(folder)
    for file in files:
        for dtype, shape in _tensors(file):
            parameters[dtype] += prod(shape)
    if not parameters:
        raise ExportError(f"{folder} holds no weights in safetensors files.",
                          "Choose a folder with config.json and *.safetensors.")
    most = parameters.most_common(1)[0][0]
    return StoredWeights(parameters.total(), sum(file.stat().st_size for file in files),
                         _DTYPES.get(most, "float32"))


def _tensors(file: Path) -> list[tuple[str, list[int]]]:
    """(dtype, shape) of each tensor. The header is JSON behind eight bytes of its length
    (https://github.com/huggingface/safetensors#format)."""
    with file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    return [(entry["dtype"], entry["shape"]) for name, entry in header.items()
            if name != "__metadata__"]
