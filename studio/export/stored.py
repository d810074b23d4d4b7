"""What lies in the safetensors files of a model folder, read from their headers: no weights."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

from studio.errors import ExportError
from studio.models.folder import read_config, weight_files

FLOAT_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""The number formats that weights are merged in: as safetensors and as torch spells them."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file: its format as safetensors spells it, and the bytes that are its own,
    counted from the start of the file."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def bytes(self) -> int:
        """Its size in the file."""
        return self.end - self.begin


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
        for tensor in stored_tensors(file):
            parameters[tensor.dtype] += prod(tensor.shape)
    if not parameters:
        raise ExportError(f"{folder} holds no weights in safetensors files.",
                          "Choose a folder with config.json and *.safetensors.")
    most = parameters.most_common(1)[0][0]
    return StoredWeights(parameters.total(), sum(file.stat().st_size for file in files),
                         FLOAT_DTYPES.get(most, "float32"))


def stored_tensors(file: Path) -> list[StoredTensor]:
    """The tensors of a file in the order in which they lie there.

    The header is JSON behind eight bytes of its length
    (https://github.com/huggingface/safetensors#format). Raises ExportError for a damaged one.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        try:
            header = json.loads(opened.read(min(length, file.stat().st_size)))
        except ValueError as error:
            raise ExportError(f"{file.name} in {file.parent.name} is damaged: it has no header of "
                              "a safetensors file.", "Fetch or write the model again.") from error
    start = 8 + length
    found = [StoredTensor(file, name, entry["dtype"], tuple(entry["shape"]),
                          start + entry["data_offsets"][0], start + entry["data_offsets"][1])
             for name, entry in header.items() if name != "__metadata__"]
    return sorted(found, key=lambda tensor: tensor.begin)
