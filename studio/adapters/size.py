"""The size of adapter_model.safetensors before it exists: every key, every shape, the header.

Follows what PEFT 0.21's `save_pretrained` writes: low-rank matrices in float32 (PEFT raises them
from half precision), biases and modules trained in full in the base's own format.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from studio.adapters.targets import Target
from studio.models.shape import ModelShape
from studio.recipe import Adapter

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_SAFETENSORS_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_KEY_PREFIX = "base_model.model."
# Adapted embeddings of these names are saved whole beside their adapter.
_SAVED_WHOLE = ("embed_tokens", "lm_head")


class StoredTensor(NamedTuple):
    """One entry of a safetensors file."""

    key: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """Size of its data."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


def adapter_file_bytes(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...], saved: tuple[str, ...],
    base_dtype: str,
) -> int:
    """Size of adapter_model.safetensors in bytes, header included."""
    stored = {tensor.key: tensor
              for tensor in _stored(adapter, shape, targets, saved, base_dtype)}
    return safetensors_bytes(list(stored.values()))


def safetensors_bytes(tensors: list[StoredTensor]) -> int:
    """Size of a safetensors file with `tensors`: length, JSON header padded to 8, data."""
    header = len('{"__metadata__":{"format":"pt"}')
    offset = 0
    # The library writes wide formats first, then by name: that decides the offsets' digits.
    for tensor in sorted(tensors, key=lambda t: (-ITEM_BYTES[t.dtype], t.key)):
        end = offset + tensor.bytes
        sizes = ",".join(map(str, tensor.shape))
        header += len(f',"{tensor.key}":{{"dtype":"{_SAFETENSORS_NAMES[tensor.dtype]}",'
                      f'"shape":[{sizes}],"data_offsets":[{offset},{end}]}}')
        offset = end
    return 8 + math.ceil((header + 1) / 8) * 8 + offset


def _stored(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...], saved: tuple[str, ...],
    base_dtype: str,
) -> Iterator[StoredTensor]:
    adapted: set[str] = set()
    for target in targets:
        for path in target.linear.modules:
            adapted.add(path)
            yield from _matrices(target, path, use_dora=adapter.use_dora)
    yield from _whole_embeddings(adapter, targets, base_dtype)
    for path in saved:
        for name, size in shape.tensors.items():
            if name.startswith(f"{path}."):
                yield StoredTensor(_KEY_PREFIX + name, size, base_dtype)
    yield from _biases(adapter, shape, adapted, saved, base_dtype)


def _matrices(target: Target, path: str, *, use_dora: bool) -> Iterator[StoredTensor]:
    linear, rank = target.linear, target.rank * target.linear.experts
    a, b = "lora_A.weight", "lora_B.weight"
    if linear.kind == "embedding":
        a, b = "lora_embedding_A", "lora_embedding_B"
    key = _KEY_PREFIX + path
    if linear.kind in ("experts", "router"):
        # Parameters are adapted on the module that holds them; the second nests in the first.
        holder, _, name = key.rpartition(".")
        key = f"{holder}.base_layer" if name == "gate_up_proj" else holder
    yield StoredTensor(f"{key}.{a}", (rank, linear.inputs), "float32")
    yield StoredTensor(f"{key}.{b}", (linear.outputs, rank), "float32")
    if use_dora:
        yield StoredTensor(f"{key}.lora_magnitude_vector", (linear.outputs,), "float32")


def _whole_embeddings(
    adapter: Adapter, targets: tuple[Target, ...], base_dtype: str
) -> Iterator[StoredTensor]:
    if not any(name in adapter.targets for name in _SAVED_WHOLE):
        return
    for target in targets:
        if target.linear.name in _SAVED_WHOLE:
            size = (target.linear.inputs, target.linear.outputs)
            for path in target.linear.modules:
                yield StoredTensor(f"{_KEY_PREFIX}{path}.base_layer.weight", size, base_dtype)


def _biases(
    adapter: Adapter, shape: ModelShape, adapted: set[str], saved: tuple[str, ...], base_dtype: str
) -> Iterator[StoredTensor]:
    if adapter.bias == "none":
        return
    for name in shape.bias_names:
        holder = name.rpartition(".")[0]
        size = shape.tensors[name]
        if holder in adapted:
            yield StoredTensor(f"{_KEY_PREFIX}{holder}.base_layer.bias", size, base_dtype)
        elif adapter.bias == "all":
            yield StoredTensor(_KEY_PREFIX + name, size, base_dtype)
            for path in saved:
                if name.startswith(f"{path}."):
                    rest = name.removeprefix(f"{path}.")
                    for part in ("modules_to_save", "original_module"):
                        yield StoredTensor(f"{_KEY_PREFIX}{path}.{part}.{rest}", size, base_dtype)
