"""The size of adapter_model.safetensors before it exists: every key, every shape, the header.

Follows what PEFT 0.21's `save_pretrained` writes of a run, in which everything that is trained is
float32, also the biases and modules of a base in 16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from studio.adapters.kinds import kind_of
from studio.adapters.ranks import Target
from studio.adapters.targets import takes_biases
from studio.models.loading import JUDGE_HEAD
from studio.models.shape import ModelShape
from studio.recipe import Adapter

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_SAFETENSORS_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_KEY_PREFIX = "base_model.model."


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
    base_dtype: str, *, head: int = 0,
) -> int:
    """Size of adapter_model.safetensors in bytes, header included.

    Of AdaLoRA as if every module ended at the rank, which they do on average. `head`: inputs of a
    reward model's head, which is kept along.
    """
    stored = {tensor.key: tensor
              for tensor in _stored(adapter, shape, targets, saved, base_dtype)}
    if head:
        stored[""] = StoredTensor(f"{_KEY_PREFIX}{JUDGE_HEAD}", (1, head), "float32")
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
    if not kind_of(adapter.method).sits_inside:
        learned = (adapter.virtual_tokens, virtual_width(adapter, shape))
        yield StoredTensor("prompt_embeddings", learned, "float32")
        return
    if adapter.method == "vera":
        yield from _shared_matrices(adapter, targets)
    adapted: set[str] = set()
    for target in targets:
        for path in target.linear.modules:
            adapted.add(path)
            yield from _of_module(adapter, target, path)
    for path in saved:
        for name, size in shape.tensors.items():
            if name.startswith(f"{path}."):
                yield StoredTensor(_KEY_PREFIX + name, size, "float32")
    yield from _biases(adapter, shape, adapted, saved, base_dtype)


def virtual_width(adapter: Adapter, shape: ModelShape) -> int:
    """Numbers of each virtual token: an embedding, or keys and values of every layer."""
    if adapter.method == "prompt_tuning":
        return shape.hidden
    return 2 * shape.layers * prefix_width(shape)


def prefix_width(shape: ModelShape) -> int:
    """Numbers that PEFT makes for the keys of one virtual token in one layer.

    It takes the grouped heads where a configuration names them as usual, and else the stream.
    """
    has_groups = '"num_key_value_heads"' in shape.config_text
    return shape.kv_heads * shape.head_dim if has_groups else shape.hidden


def _shared_matrices(adapter: Adapter, targets: tuple[Target, ...]) -> Iterator[StoredTensor]:
    """VeRA's, as wide as the widest layer."""
    inputs = max(target.linear.inputs for target in targets)
    outputs = max(target.linear.outputs for target in targets)
    yield StoredTensor("base_model.vera_A", (adapter.rank, inputs), "float32")
    yield StoredTensor("base_model.vera_B", (outputs, adapter.rank), "float32")


def _of_module(adapter: Adapter, target: Target, path: str) -> Iterator[StoredTensor]:
    linear, key = target.linear, _KEY_PREFIX + path
    if adapter.method == "lora":
        return _matrices(adapter, target, path)
    sizes: dict[str, tuple[int, ...]] = {}
    if adapter.method == "adalora":
        # At the end of a run the ranks are `adapter.rank` on average; which, shows only then.
        rank = adapter.rank
        sizes = {"lora_A": (rank, linear.inputs), "lora_B": (linear.outputs, rank),
                 "lora_E": (rank, 1)}
    elif adapter.method == "vera":
        sizes = {"vera_lambda_b": (linear.outputs,), "vera_lambda_d": (target.rank,)}
    elif adapter.method == "ia3":
        sizes = {"ia3_l": (1, linear.inputs) if target.scales_inputs else (linear.outputs, 1)}
    elif adapter.method == "oft":
        sizes = {"oft_R.weight": (target.rank,
                                  adapter.block_size * (adapter.block_size - 1) // 2)}
    return (StoredTensor(f"{key}.{name}", size, "float32") for name, size in sizes.items())


def _matrices(adapter: Adapter, target: Target, path: str) -> Iterator[StoredTensor]:
    linear, rank = target.linear, target.rank * target.linear.experts
    if adapter.takes_apart:
        rank *= 2  # what the start put in is taken out again
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
    if adapter.use_dora:
        yield StoredTensor(f"{key}.lora_magnitude_vector", (linear.outputs,), "float32")


def _biases(
    adapter: Adapter, shape: ModelShape, adapted: set[str], saved: tuple[str, ...], base_dtype: str
) -> Iterator[StoredTensor]:
    if adapter.bias == "none" or not takes_biases(adapter):
        return
    for name in shape.bias_names:
        holder = name.rpartition(".")[0]
        size = shape.tensors[name]
        if holder in adapted:
            yield StoredTensor(f"{_KEY_PREFIX}{holder}.base_layer.bias", size, "float32")
        elif adapter.bias == "all":
            yield StoredTensor(_KEY_PREFIX + name, size, "float32")
            for path in saved:
                if name.startswith(f"{path}."):
                    rest = name.removeprefix(f"{path}.")
                    for part, dtype in (("modules_to_save", "float32"),
                                        ("original_module", base_dtype)):
                        yield StoredTensor(f"{_KEY_PREFIX}{path}.{part}.{rest}", size, dtype)
