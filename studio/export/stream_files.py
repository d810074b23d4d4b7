"""Reads single tensors from safetensors files and writes such files tensor by tensor.

The safetensors library writes a file from tensors that are all in memory at once; here the header
is written first and the data follow, so that only one tensor is held at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.export.stored import StoredTensor
from studio.files import write_json_safely
from studio.models.folder import INDEX_FILE

if TYPE_CHECKING:
    import torch

_CHUNK_BYTES = 8 << 20
_ALIGNED_BYTES = 8


@dataclass(frozen=True)
class Entry:
    """A tensor that is to be written: name, format as safetensors spells it, shape, size."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


def like(stored: StoredTensor, *, name: str = "", shape: tuple[int, ...] | None = None) -> Entry:
    """An entry in the format of a stored tensor; with its name and shape where none are given."""
    shape = stored.shape if shape is None else shape
    item_bytes = stored.bytes // max(1, prod(stored.shape))
    return Entry(name or stored.name, stored.dtype, shape, item_bytes * prod(shape))


def read_tensor(stored: StoredTensor) -> torch.Tensor:
    """The tensor as a view of the file: a change of it stays in memory, and its pages are given
    back with the last reference to it."""
    from safetensors import safe_open

    opened: Any
    with safe_open(str(stored.file), framework="pt") as opened:
        tensor: torch.Tensor = opened.get_tensor(stored.name)
    return tensor


def stored_chunks(stored: StoredTensor) -> Iterator[memoryview]:
    """The bytes of a tensor as they lie in the file, some megabytes at a time."""
    room = memoryview(bytearray(min(_CHUNK_BYTES, stored.bytes)))
    left = stored.bytes
    with stored.file.open("rb", buffering=0) as file:
        file.seek(stored.begin)
        while left:
            read = file.readinto(room[:left])
            if not read:
                raise EOFError(f"{stored.file} ends within {stored.name}.")
            left -= read
            yield room[:read]


def tensor_chunks(tensor: torch.Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor in memory, some megabytes at a time."""
    import torch

    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data
    for begin in range(0, len(data), _CHUNK_BYTES):
        yield data[begin:begin + _CHUNK_BYTES]


def write_shard(file: Path, entries: Sequence[Entry],
                data: Iterable[Iterable[memoryview]]) -> None:
    """Write a safetensors file. `data` gives the bytes of each entry, in the same order.

    Raises ValueError for an entry that gets another number of bytes than it announced.
    """
    with file.open("wb") as opened:
        opened.write(_header(entries))
        for entry, chunks in zip(entries, data, strict=True):
            written = sum(opened.write(chunk) for chunk in chunks)
            if written != entry.bytes:
                raise ValueError(f"{entry.name} has {written} bytes, and should have "
                                 f"{entry.bytes}.")


def write_index(folder: Path, shards: Mapping[str, Sequence[Entry]],
                metadata: Mapping[str, Any]) -> None:
    """Say which tensor lies in which file of a model, and what all weigh, beside `metadata`."""
    total = sum(entry.bytes for entries in shards.values() for entry in entries)
    where = {entry.name: name for name, entries in shards.items() for entry in entries}
    write_json_safely(folder / INDEX_FILE, {"metadata": {**metadata, "total_size": total},
                                            "weight_map": where})


def _header(entries: Sequence[Entry]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for entry in entries:
        header[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape),
                              "data_offsets": [begin, begin + entry.bytes]}
        begin += entry.bytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNED_BYTES)
    return len(text).to_bytes(8, "little") + text
