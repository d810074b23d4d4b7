"""What a plain LoRA changes in the files of its base, with torch alone.

LoRA (arXiv:2106.09685) adds scale x B A to a weight W, with scale = alpha / rank, or alpha / √rank
for rsLoRA (arXiv:2312.03732): one product, which PEFT computes just so. Importing PEFT and
Transformers takes five times as long as merging a small model, so they are left out where the
names in the files, the shapes, and the adapter's configuration leave nothing to interpret. In
every other case (`CannotStream`) PEFT's own layers do the work, see `stream_layers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import PREFIX, WEIGHTS_FILE, AdapterFolder
from studio.export.stored import FLOAT_DTYPES, StoredTensor, stored_tensors
from studio.export.stream import CannotStream
from studio.export.stream_files import Entry, like, read_tensor
from studio.models.stored_plainly import STORED_PLAINLY

if TYPE_CHECKING:
    import torch

_HARMLESS = frozenset({
    "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying", "eva_config",
    "exclude_modules", "inference_mode", "init_lora_weights", "layers_pattern",
    "layers_to_transform", "loftq_config", "lora_alpha", "lora_dropout", "lora_ga_config",
    "megatron_core", "peft_type", "peft_version", "qalora_group_size", "r", "revision",
    "target_modules", "task_type", "use_rslora",
})
"""Fields of an adapter's configuration that leave it a plain LoRA, whatever they say."""
_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class _Pair:
    """The two matrices of one layer, on disk."""

    a: StoredTensor
    b: StoredTensor


@dataclass(frozen=True)
class PlainLora:
    """Changes by a LoRA on linear layers. `pairs` by the name of the weight in the base's files."""

    stored: Mapping[str, StoredTensor]
    pairs: Mapping[str, _Pair]
    alpha: float
    by_root: bool
    dropped: frozenset[str] = field(default=frozenset())
    added: tuple[Entry, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def entry(self, stored: StoredTensor) -> Entry:
        return like(stored)

    def changes(self, name: str) -> bool:
        return name in self.pairs

    def merged(self, name: str) -> torch.Tensor:
        """W + scale x B A, computed in 32 bits and rounded once."""
        pair = self.pairs[name]
        rank = pair.a.shape[0]
        scale = self.alpha / (sqrt(rank) if self.by_root else rank)
        update = read_tensor(pair.b).float() @ read_tensor(pair.a).float()
        update *= scale
        weight = read_tensor(self.stored[name])
        weight += update
        return weight


def plain_lora(adapter: AdapterFolder, config: Mapping[str, Any],
               stored: Mapping[str, StoredTensor]) -> PlainLora:
    """The changes of `adapter` to a base with that config.json and those tensors in its files.

    Raises CannotStream where it is another kind, or where anything could be read in two ways.
    """
    _require_plain(adapter.config)
    if config.get("model_type") not in STORED_PLAINLY or config.get("auto_map"):
        raise CannotStream("the model is of a kind that Transformers may convert when loading")
    pairs = _pairs(adapter.path)
    if set(pairs) - set(stored):
        raise CannotStream("a layer of the adapter has no weight of its name in the files")
    vocabulary = config.get("vocab_size")
    if any(_is_unclear(stored[name], pair, vocabulary) for name, pair in pairs.items()):
        raise CannotStream("a layer of the adapter does not have the shape of a linear one")
    options = adapter.config
    return PlainLora(stored, pairs, float(options["lora_alpha"]), bool(options.get("use_rslora")))


def _require_plain(options: Mapping[str, Any]) -> None:
    plain = options.get("peft_type") == "LORA" and options.get("bias", "none") == "none"
    other = [name for name, value in options.items() if value and name not in _HARMLESS | {"bias"}]
    starts = options.get("init_lora_weights", True)
    if not plain or other or not (isinstance(starts, bool) or starts == "gaussian"):
        raise CannotStream("the adapter is more than a plain LoRA")


def _pairs(adapter: Path) -> dict[str, _Pair]:
    """A and B of every layer, by the name of the weight that they change."""
    tensors = {tensor.name.removeprefix(PREFIX): tensor
               for tensor in stored_tensors(adapter / WEIGHTS_FILE)}
    layers = {name.removesuffix(_A).removesuffix(_B) for name in tensors}
    if set(tensors) != {layer + side for layer in layers for side in (_A, _B)}:
        raise CannotStream("the adapter holds more than the matrices of a LoRA")
    return {f"{layer}.weight": _Pair(tensors[layer + _A], tensors[layer + _B])
            for layer in layers}


def _is_unclear(weight: StoredTensor, pair: _Pair, vocabulary: object) -> bool:
    """Whether W is not (outputs, inputs) with B (outputs, rank) and A (rank, inputs), in a format
    to compute with. A weight with a row for each token may be tied to another one."""
    tensors = (weight, pair.a, pair.b)
    if any(len(one.shape) != 2 or one.dtype not in FLOAT_DTYPES for one in tensors):
        return True
    (outputs, inputs), (rank, ins), (outs, same_rank) = (one.shape for one in tensors)
    return (outputs, inputs, rank) != (outs, ins, same_rank) or outputs == vocabulary
