"""Which modules of a model an adapter sits on: `attention`, `all-linear`, or names.

Pure and fast: reads a ModelShape, imports neither torch nor peft. Follows PEFT's rules for
matching names (a target matches a module whose path ends with it), for layers, and for mixtures
of experts (`peft/utils/transformers_weight_conversion.py`, 0.21). How wide each adapter is comes
from `ranks.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from studio.adapters.kinds import kind_of
from studio.adapters.ranks import Target, fused, in_attention, with_ranks
from studio.errors import ModelError
from studio.models.shape import LinearShape, ModelShape
from studio.recipe import Adapter

ALL_LINEAR = "all-linear"

# transformers 5 joins the experts' projections into stacked parameters. PEFT still accepts the
# old names and maps them (old name -> parameter) for these model types; with others, such as
# qwen2_moe, it leaves the experts alone.
_MIXTRAL = {"gate": "gate.weight", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"}
_QWEN_MOE = {"gate": "gate.weight", "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj",
             "down_proj": "down_proj"}
_EXPERT_NAMES: dict[str, dict[str, str]] = {
    **dict.fromkeys(["mixtral", "minimax", "minimax_m2"], _MIXTRAL),
    **dict.fromkeys([
        "qwen3_moe", "qwen3_next", "afmoe", "deepseek_v2", "deepseek_v3",
        "deepseek_v32", "dots1", "ernie4_5_moe", "glm4_moe", "glm4_moe_lite", "glm_moe_dsa",
        "longcat_flash", "solar_open", "mellum", "hunyuan_v1_moe", "flex_olmo", "olmoe",
        "exaone_moe", "cohere2_moe", "beam",
    ], _QWEN_MOE),
}


def targets_of(adapter: Adapter, shape: ModelShape) -> tuple[Target, ...]:
    """Everything that gets an adapter, modules trained in full left out.

    Nothing for the kinds that do not sit inside the model. Raises ModelError for names and layers
    that the model does not have, and where nothing is left to adapt.
    """
    if not kind_of(adapter.method).sits_inside:
        return ()
    linears, stacked = _split(adapter, shape)
    found = with_ranks(adapter, linears, shape)
    found += [Target(linear, fused(adapter, linear)) for linear in stacked]
    if not found:
        raise ModelError(
            "Every target module is also in adapter.modules_to_save, so no adapter is left.",
            "Take them out of one of the two.",
        )
    return tuple(found)


def _split(adapter: Adapter, shape: ModelShape) -> tuple[list[LinearShape], list[LinearShape]]:
    """(modules, stacked parameters) that the adapter sits on."""
    renamed = _renamed(adapter, shape)
    if adapter.targets == ALL_LINEAR:
        if not renamed:
            return _in_layers(_outside_saved(shape.linears, adapter), adapter, shape), []
        names = [*{linear.name for linear in shape.linears}, *renamed]
    else:
        names = list(target_names(adapter, shape))
    mapped = {renamed[_leaf(name)] for name in names if _leaf(name) in renamed}
    plain = [name for name in names if _leaf(name) not in renamed]
    modules = (*shape.linears, *shape.named_only)
    return (
        _in_layers(_outside_saved(_matching(modules, plain), adapter), adapter, shape),
        _matching(shape.stacked, sorted(mapped)),
    )


def _renamed(adapter: Adapter, shape: ModelShape) -> dict[str, str]:
    """Old names of stacked weights -> the parameters; PEFT maps them for LoRA only."""
    if adapter.method != "lora" or not shape.stacked:
        return {}
    return _EXPERT_NAMES.get(shape.model_type, {})


_LAYER = re.compile(r".*?\.[^.]*\.(\d+)\.")
"""PEFT's: the first number in a path is that of the layer."""


def _in_layers(
    linears: list[LinearShape], adapter: Adapter, shape: ModelShape
) -> list[LinearShape]:
    """Those of `linears` that lie in the layers that the adapter is for."""
    layers = adapter.layer_numbers if takes_layers(adapter) else None
    if layers is None:
        return linears
    if layers[-1] >= shape.layers:
        raise ModelError(
            f"adapter.layers names layer {layers[-1]}, but {shape.name} has {shape.layers}.",
            f"Its layers are 0 to {shape.layers - 1}.")
    wanted = set(layers)

    def is_wanted(path: str) -> bool:
        found = _LAYER.match(path)
        return found is not None and int(found[1]) in wanted

    kept = _kept(linears, is_wanted)
    if linears and not kept:
        raise ModelError(f"No target module lies in layer {adapter.layers}.",
                         "Leave adapter.layers empty, or choose other target modules.")
    return kept


def takes_biases(adapter: Adapter) -> bool:
    """Whether the kind can train the base's biases along (`adapter.bias`)."""
    return adapter.method in ("lora", "adalora", "vera", "oft")


def takes_layers(adapter: Adapter) -> bool:
    """Whether the kind takes `adapter.layers` at all; PEFT's IA3 has no such choice."""
    return adapter.method in ("lora", "adalora", "vera", "oft")


def _leaf(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _matching(linears: Iterable[LinearShape], names: Iterable[str]) -> list[LinearShape]:
    suffixes = tuple(f".{name}" for name in names)
    return _kept(linears, lambda path: f".{path}".endswith(suffixes))


def _outside_saved(linears: Iterable[LinearShape], adapter: Adapter) -> list[LinearShape]:
    """PEFT never adapts what is trained in full, nor anything inside it."""
    saved = set(adapter.modules_to_save)
    if not saved:
        return list(linears)
    inside = re.compile("|".join(rf"(^|.*\.){re.escape(name)}($|\..*)" for name in saved))
    return _kept(linears, lambda path: not inside.match(path))


def _kept(
    linears: Iterable[LinearShape], wanted: Callable[[str], object]
) -> list[LinearShape]:
    found = []
    for linear in linears:
        paths = tuple(path for path in linear.modules if wanted(path))
        if paths:
            found.append(replace(linear, modules=paths, count=len(paths)))
    return found


def target_names(adapter: Adapter, shape: ModelShape) -> list[str]:
    """The names that PEFT is given, checked against the model. Not for all-linear.

    Raises ModelError naming each unknown one and what the model has.
    """
    if adapter.targets == "attention":
        return attention_names(shape)
    names = [name.strip() for name in adapter.targets if name.strip()]
    known = [path for linear in (*shape.linears, *shape.named_only) for path in linear.modules]
    renamed = _renamed(adapter, shape)
    unknown = [name for name in names if _leaf(name) not in renamed
               and not any(f".{path}".endswith(f".{name}") for path in known)]
    if unknown:
        raise _unknown("adapter.targets", unknown, targetable_names(shape), shape)
    _require_fused_together(names, renamed)
    return names


def _require_fused_together(names: list[str], renamed: dict[str, str]) -> None:
    pair = [old for old, new in renamed.items() if new == "gate_up_proj"]
    given = [old for old in pair if old in {_leaf(name) for name in names}]
    if given and len(given) < len(pair):
        raise ModelError(
            f"adapter.targets names {given[0]} alone, but this model keeps {' and '.join(pair)} "
            "as one weight.",
            f"Name both {' and '.join(pair)}, or neither.",
        )


def layered_names(shape: ModelShape) -> list[str]:
    """What all-linear means, as names."""
    return list(dict.fromkeys(linear.name for linear in shape.linears))


def attention_names(shape: ModelShape) -> list[str]:
    """Names of the query, key, value and output projections, fused ones included.

    A name that also occurs outside attention (GPT-2's c_proj) keeps its parent: attn.c_proj.
    Raises ModelError where the model has no attention that can be recognised.
    """
    inside: list[str] = []
    outside: set[str] = set()
    for linear in shape.linears:
        for path in linear.modules:
            if in_attention(path):
                inside.append(path)
            else:
                outside.add(linear.name)
    names = [".".join(path.split(".")[-2:]) if _leaf(path) in outside else _leaf(path)
             for path in inside]
    if not names:
        raise ModelError(
            f"{shape.name} has no attention layers that the studio recognises.",
            f"Set adapter.targets to all-linear, or to names: {', '.join(targetable_names(shape))}",
        )
    return list(dict.fromkeys(names))


def targetable_names(shape: ModelShape) -> list[str]:
    """Short names of everything that can be a target, in the model's order, head last."""
    names = [linear.name for linear in (*shape.linears, *shape.named_only)]
    return list(dict.fromkeys(names))


def saved_modules(adapter: Adapter, shape: ModelShape) -> tuple[str, ...]:
    """Paths of the modules trained in full. PEFT's rule: any path that ends with the name.

    None where the adapter does not sit inside the model. Raises ModelError for a name that no
    module has.
    """
    if not kind_of(adapter.method).sits_inside:
        return ()
    found: dict[str, None] = {}
    unknown = []
    for name in adapter.modules_to_save:
        paths = [path for path in shape.modules if path.endswith(name)]
        if not paths:
            unknown.append(name)
        found.update(dict.fromkeys(paths))
    if unknown:
        names = sorted({_leaf(path) for path in shape.modules if not _leaf(path).isdigit()})
        raise _unknown("adapter.modules_to_save", unknown, names, shape)
    return tuple(found)


def _unknown(field: str, unknown: list[str], known: list[str], shape: ModelShape) -> ModelError:
    near = [match for name in unknown
            for match in difflib.get_close_matches(name, known, n=1, cutoff=0.5)]
    nearest = f" Nearest: {', '.join(dict.fromkeys(near))}." if near else ""
    return ModelError(
        f"{field} names {', '.join(unknown)}, which {shape.name} does not have.{nearest}",
        f"It has {', '.join(known)}.",
    )
