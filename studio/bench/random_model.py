"""A model folder of random weights, written from its shapes alone: no model is ever in memory."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from studio.export.stream_files import Entry, write_index, write_shard
from studio.models.shape import meta_model

_BLOCK_BYTES = 32 << 20
_ITEM_BYTES = 2
_SPREAD = 0.02


def make_random_model(folder: Path, config: Any, shard_bytes: int) -> list[Path]:
    """Write `config` and weights in bfloat16 to `folder`, in files of at most `shard_bytes`."""
    folder.mkdir(parents=True)
    model = meta_model(config)
    config.architectures = [type(model).__name__]
    config.dtype = "bfloat16"
    config.save_pretrained(str(folder))
    shards = _shards([(name, tuple(tensor.shape)) for name, tensor
                      in model.state_dict().items()], shard_bytes)
    files = {f"model-{number:05}-of-{len(shards):05}.safetensors": entries
             for number, entries in enumerate(shards, start=1)}
    noise = _noise()
    for name, entries in files.items():
        write_shard(folder / name, entries, (_chunks(noise, entry.bytes) for entry in entries))
    write_index(folder, files, {})
    return [folder / name for name in files]


def _shards(tensors: list[tuple[str, tuple[int, ...]]], shard_bytes: int) -> list[list[Entry]]:
    shards: list[list[Entry]] = [[]]
    for name, shape in tensors:
        entry = Entry(name, "BF16", shape, _ITEM_BYTES * prod(shape))
        if shards[-1] and sum(one.bytes for one in shards[-1]) + entry.bytes > shard_bytes:
            shards.append([])
        shards[-1].append(entry)
    return shards


def _noise() -> memoryview:
    """Some megabytes of random weights, which the tensors repeat."""
    import torch

    numbers = torch.randn(_BLOCK_BYTES // _ITEM_BYTES, generator=torch.Generator().manual_seed(0))
    return (numbers * _SPREAD).to(torch.bfloat16).view(torch.uint8).numpy().data


def _chunks(noise: memoryview, size_bytes: int) -> Iterator[memoryview]:
    for begin in range(0, size_bytes, len(noise)):
        yield noise[:min(len(noise), size_bytes - begin)]
