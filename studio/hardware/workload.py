"""One training step as the memory estimate sees it: sizes, number formats, and switches.

Made from a recipe, a model's shape and a device; every `auto` is decided here the way training
decides it. Knows no formula: bytes are counted in `static_memory.py` and `step_memory.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio.adapters.count import count_trainable

if TYPE_CHECKING:
    from studio.device import Device
    from studio.models.shape import LinearShape, ModelShape
    from studio.recipe import Recipe

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
ADAPTER_BYTES = 4
"""PEFT since 0.11 keeps adapter weights in float32 over a half-precision base."""
QUANTIZED_ADAPTER_BYTES = 2
"""TRL's SFT trainer turns the adapters of a quantised base to bfloat16."""


@dataclass(frozen=True)
class Workload:
    """What decides the memory of one training step. Sizes in bytes or counts as named.

    `weight_bytes` is per unquantised parameter and per activation; `trainable_bytes` per trained
    parameter. `loss` is chunked where logits are made a tile at a time, full where all of them are
    held. `has_triton` says whether TRL's chunked loss runs as a GPU kernel without float32 copies.
    """

    device: Literal["cuda", "mps", "cpu"]
    batch: int
    length: int
    weight_bytes: int
    dtype: str
    quantization: Literal["none", "8bit", "4bit"]
    trains_base: bool
    trainable: int
    trainable_bytes: int
    rank: int
    targets: frozenset[str]
    optimizer: str
    accumulates: bool
    checkpointing: bool
    attention: Literal["eager", "sdpa", "flash_attention_2"]
    dropout: bool = False
    dora: bool = False
    autocast: bool = False
    loss: Literal["chunked", "full"] = "chunked"
    has_triton: bool = False
    double_quantization: bool = True
    foreach_optimizer: bool = False

    @property
    def tokens(self) -> int:
        """Tokens computed at once, padding included."""
        return self.batch * self.length

    @property
    def on_gpu(self) -> bool:
        """True where a CUDA context and torch's caching allocator come on top."""
        return self.device == "cuda"


def workload_of(
    recipe: Recipe, shape: ModelShape, device: Device, *, checkpointing: bool,
    length: int | None = None,
) -> Workload:
    """The step that `recipe` asks for. `length`: the longest example in tokens, where known."""
    dtype = device.fast_dtype if recipe.model.dtype == "auto" else recipe.model.dtype
    weight_bytes = DTYPE_BYTES[dtype]
    trains_base = recipe.adapter.method == "none"
    quantized = recipe.model.quantization != "none"
    adapter_bytes = QUANTIZED_ADAPTER_BYTES if quantized else ADAPTER_BYTES
    count = count_trainable(recipe, shape)
    longest = recipe.data.max_length if length is None else min(length, recipe.data.max_length)
    return Workload(
        device=device.kind, batch=recipe.training.batch_size, length=longest,
        weight_bytes=weight_bytes, dtype=dtype, quantization=recipe.model.quantization,
        trains_base=trains_base, trainable=count.trainable,
        trainable_bytes=weight_bytes if trains_base else adapter_bytes,
        rank=recipe.adapter.rank, targets=_targets(recipe, shape),
        optimizer=recipe.training.optimizer,
        accumulates=recipe.training.gradient_accumulation > 1,
        checkpointing=checkpointing, attention=_attention(recipe),
        dropout=recipe.adapter.dropout > 0, dora=recipe.adapter.use_dora,
        has_triton=device.kind == "cuda",
        foreach_optimizer=device.kind == "cuda" and recipe.training.optimizer == "adamw_torch",
    )


def _attention(recipe: Recipe) -> Literal["eager", "sdpa", "flash_attention_2"]:
    chosen = recipe.model.attention
    return "sdpa" if chosen == "auto" else chosen


def _targets(recipe: Recipe, shape: ModelShape) -> frozenset[str]:
    """Names of the linear layers that keep their input for the backward pass."""
    if recipe.adapter.method == "none":
        return frozenset(linear.name for linear in shape.linears)
    from studio.adapters.methods import target_module_names

    names = target_module_names(recipe.adapter, shape)
    if isinstance(names, str):
        return frozenset(linear.name for linear in shape.linears)
    wanted = {name.rpartition(".")[2] for name in names}
    return frozenset(linear.name for linear in shape.linears
                     if linear.name.rpartition(".")[2] in wanted)


def linear_parameters(linears: tuple[LinearShape, ...]) -> int:
    """Weights of the linear layers, biases left out."""
    return sum(linear.inputs * linear.outputs * linear.count for linear in linears)
