"""Which number format each tensor of a GGUF gets, as llama.cpp's own quantiser chooses it.

A k-quant such as q4_k_m is a mixture: most weights in its own format, those that matter more in a
finer one, small ones untouched. The rules are those of llama.cpp's `src/llama-quant.cpp` for the
types named here. Works on names and shapes; rounds nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

GgufType = Literal["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"]
GGUF_TYPES: tuple[str, ...] = get_args(GgufType)
"""What a GGUF can be written as, from the largest to the smallest."""
_BLOCK = re.compile(r"blk\.(\d+)\.")
_KEPT_AS_THEY_ARE = (
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel",
    "per_layer_model_proj", "position_embd", "token_types.weight", "ssm_conv1d",
    "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "time_mix_first",
    "time_mix_w0", "time_mix_w1", "time_mix_w2", "time_mix_v0", "time_mix_v1", "time_mix_v2",
    "time_mix_a0", "time_mix_a1", "time_mix_a2", "time_mix_g1", "time_mix_g2",
    "time_mix_decay_w1", "time_mix_decay_w2", "time_mix_lerp_fused", "attn_rel_b.weight",
)
"""Parts of the names of tensors that are too small, or too delicate, to be rounded."""
_ROLES = {
    "attn_qkv.weight": "attn_v", "attn_kv_b.weight": "attn_v", "attn_v.weight": "attn_v",
    "attn_k.weight": "attn_k", "attn_output.weight": "attn_output", "ffn_down": "ffn_down",
}
"""Part of a tensor's name -> the role that decides its format."""
_WHERE_BLOCKS_DO_NOT_FIT = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1",
                            "Q6_K": "Q8_0"}
"""Formats in blocks of 256 -> the one in blocks of 32 that takes rows that 256 does not divide."""


@dataclass(frozen=True)
class GgufTensor:
    """A tensor by its name in a GGUF. The last of `shape` is the length of its rows."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class GgufModel:
    """What of a model decides its mixture. `shared_keys`: query heads for each key head."""

    architecture: str
    layers: int
    shared_keys: int
    experts: int = 0

    @property
    def is_70b(self) -> bool:
        """Whether llama.cpp takes it for one of the 70B models, which get finer values."""
        return self.layers == 80 and self.architecture in ("llama", "qwen2")


@dataclass(frozen=True)
class _Place:
    """Where among `total` tensors of its role one stands, counted from 0."""

    index: int
    total: int

    @property
    def matters_more(self) -> bool:
        """llama.cpp's choice of layers: the first and last eighth, and each third between."""
        eighth = self.total // 8
        return (self.index < eighth or self.index >= 7 * self.total // 8
                or (self.index - eighth) % 3 == 2)


def default_format(gguf_type: str) -> str:
    """The format of most weights, as ggml spells it: q4_k_m -> Q4_K."""
    return gguf_type.upper().removesuffix("_M")


def mixture(tensors: Iterable[GgufTensor], model: GgufModel, gguf_type: str) -> dict[str, str]:
    """Name -> format, for all tensors that `gguf_type` rounds; the others keep theirs."""
    ordered = sorted(tensors, key=lambda one: (_block(one.name), one.name))
    is_tied = all(one.name != "output.weight" for one in ordered)
    roles = {one.name: _role(one.name, is_tied) for one in ordered}
    totals = Counter(roles.values())
    before: Counter[str] = Counter()
    found = {}
    for one in ordered:
        role = roles[one.name]
        place = _place(one, role, before[role], totals[role], model)
        before[role] += 1
        if is_rounded(one):
            chosen = _chosen(gguf_type, role, place, model, one.shape[-1])
            found[one.name] = _fitting(chosen, one.shape[-1])
    return found


def is_rounded(tensor: GgufTensor) -> bool:
    """Whether a quantiser touches it: matrices, except for some small ones."""
    return (sum(size > 1 for size in tensor.shape) > 1 and tensor.name.endswith("weight")
            and not any(part in tensor.name for part in _KEPT_AS_THEY_ARE))


def tensor_bytes(shape: tuple[int, ...], format_name: str) -> int:
    """Size of a tensor of `shape` in a format of ggml."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    weights, each_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[format_name]]
    return prod(shape) // weights * each_bytes


def _block(name: str) -> int:
    found = _BLOCK.match(name)
    return int(found.group(1)) if found else -1


def _role(name: str, is_tied: bool) -> str:
    if name == "output.weight" or (is_tied and name.endswith("token_embd.weight")):
        return "output"
    return next((role for part, role in _ROLES.items() if part in name), "other")


def _place(one: GgufTensor, role: str, index: int, total: int, model: GgufModel) -> _Place:
    """Its number among those of its role; of experts' layers the layer's own number."""
    if role == "attn_v":
        return _Place(index, total)
    return _Place(_block(one.name) if model.experts > 1 else index, model.layers)


def _chosen(gguf_type: str, role: str, place: _Place, model: GgufModel, columns: int) -> str:
    usual = default_format(gguf_type)
    if not usual.endswith("_K"):
        return usual
    if role == "output":
        return "Q8_0" if model.architecture == "falcon" or columns % 256 else "Q6_K"
    if role == "attn_v":
        return _values(gguf_type, place, model)
    if role == "attn_k":
        return "Q8_0" if model.experts == 8 else usual
    if role == "attn_output" and model.architecture != "falcon":
        return _attention_output(gguf_type, model)
    if role == "ffn_down":
        return _down(gguf_type, place, model)
    return usual


def _values(gguf_type: str, place: _Place, model: GgufModel) -> str:
    """Of the attention's values, alone or stored together with queries and keys."""
    chosen = default_format(gguf_type)
    if gguf_type == "q2_k":
        chosen = "Q4_K" if model.shared_keys >= 4 else "Q3_K"
    elif gguf_type == "q3_k_m":
        chosen = "Q5_K" if place.index < 2 else "Q4_K"
    elif gguf_type in ("q4_k_m", "q5_k_m") and place.matters_more:
        chosen = "Q6_K"
    if model.is_70b and chosen in ("Q3_K", "Q4_K"):
        chosen = "Q5_K"
    return "Q8_0" if model.experts == 8 else chosen


def _attention_output(gguf_type: str, model: GgufModel) -> str:
    finer = {"q2_k": "Q3_K", "q3_k_m": "Q4_K"}
    if model.experts == 8:
        finer = {"q2_k": "Q5_K", "q3_k_m": "Q5_K", "q4_k_m": "Q5_K"}
    return finer.get(gguf_type, default_format(gguf_type))


def _down(gguf_type: str, place: _Place, model: GgufModel) -> str:
    """Of the second half of each feed-forward layer."""
    is_falcon = model.architecture == "falcon"
    is_first = place.index < place.total // 16
    more = place.matters_more
    if gguf_type == "q2_k":
        return "Q3_K"
    if gguf_type == "q3_k_m":
        return "Q5_K" if is_first else "Q4_K" if more or not is_falcon else "Q3_K"
    if gguf_type == "q4_k_m" and is_falcon:
        return "Q6_K" if is_first else "Q5_K" if more else "Q4_K"
    return "Q6_K" if more and gguf_type != "q6_k" else default_format(gguf_type)


def _fitting(chosen: str, columns: int) -> str:
    """`chosen`, or a format whose blocks divide the row."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    for candidate in (chosen, _WHERE_BLOCKS_DO_NOT_FIT.get(chosen, chosen)):
        if columns % GGML_QUANT_SIZES[GGMLQuantizationType[candidate]][0] == 0:
            return candidate
    return "F16"
