"""A model's shape as llama.cpp will see it in a GGUF: the names of tensors, their rows.

Enough to foretell formats and sizes; the names are those of llama.cpp's converter for all
architectures together, and a tensor that none of them has keeps its own name.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from studio.models.gguf_mixture import GgufModel, GgufTensor

if TYPE_CHECKING:
    from studio.models.shape import ModelShape


def gguf_tensors(shape: ModelShape) -> list[GgufTensor]:
    """All tensors of a GGUF made of this model, a tied head left out."""
    found = dict(shape.tensors)
    if shape.tied_embeddings:
        found.pop(f"{shape.named_only[-1].modules[0]}.weight", None)
    turned = {f"{path}.weight" for linear in shape.linears if linear.kind == "conv1d"
              for path in linear.modules}
    return [GgufTensor(gguf_name(name), size[::-1] if name in turned else size)
            for name, size in found.items()]


def gguf_model(shape: ModelShape) -> GgufModel:
    """What decides the mixture of formats."""
    experts = max((one.experts for one in shape.stacked), default=0)
    return GgufModel(shape.model_type, shape.layers, shape.heads // max(1, shape.kv_heads),
                     experts)


def gguf_name(name: str) -> str:
    """"model.layers.3.mlp.down_proj.weight" -> "blk.3.ffn_down.weight"."""
    path, dot, last = name.rpartition(".")
    if last not in ("weight", "bias"):  # a parameter of its own, such as stacked experts
        path, dot, last = name, ".", "weight"
    parts = path.split(".")
    number = next((part for part in parts if part.isdecimal()), "")
    if number:
        parts[parts.index(number)] = "{bid}"
    known = _names().get(".".join(parts))
    return f"{known.replace('{bid}', number)}{dot}{last}" if known else name


@functools.cache
def _names() -> dict[str, str]:
    from gguf.constants import TENSOR_NAMES
    from gguf.tensor_mapping import TensorNameMap

    found: dict[str, str] = {}
    for table in (TensorNameMap.mappings_cfg, TensorNameMap.block_mappings_cfg):
        for tensor, names in table.items():
            for name in names:
                found.setdefault(name, TENSOR_NAMES[tensor])
    return found
