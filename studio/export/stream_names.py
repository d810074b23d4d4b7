"""Which parameter of a model each tensor of its files belongs to, without loading any.

Transformers renames some tensors when it loads them and puts others together, such as the experts
of a mixture; its own rules are asked here. Knows nothing of adapters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from studio.export.stream_conversion import Conversion


@dataclass(frozen=True)
class StoredNames:
    """`parameter_of` maps a tensor's name in the files to the parameter that it fills or is a part
    of; what the model has no place for is missing. `converted` are the parameters that are put
    together from tensors, or turned, when the model is loaded."""

    parameter_of: Mapping[str, str]
    converted: Mapping[str, Conversion]


def stored_names(model: Any, stored: Iterable[str]) -> StoredNames:
    """Of the names in `stored`, as Transformers reads them into `model` (which needs no memory).

    Leaves with the model which rules were used, as loading does: saving undoes these.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        dot_natural_key,
        rename_source_key,
    )

    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    parameters, prefix = model.state_dict(), model.base_model_prefix
    parameter_of: dict[str, str] = {}
    pieces: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(stored, key=dot_natural_key):
        found, pattern = rename_source_key(name, renamings, converters, prefix, parameters)
        if found not in parameters and name in parameters:
            found, pattern = rename_source_key(name, [], [], prefix, parameters)
        if found not in parameters:
            continue
        parameter_of[name] = found
        if pattern is not None:
            pieces.setdefault(found, []).append((name, pattern))
    model._weight_conversions = [rule for rule in rules if rule.was_used()]
    made = [_conversion(first, tuple(its), converters) for first, its in pieces.items()]
    return StoredNames(parameter_of, {name: one for one in made for name in one.parameters})


def _conversion(first: str, pieces: tuple[tuple[str, str], ...],
                converters: list[Any]) -> Conversion:
    """A rule that makes several parameters names the first of them."""
    pattern = pieces[0][1]
    rule = next(one for one in reversed(converters) if pattern in one.source_patterns)
    targets = rule.target_patterns
    return Conversion(rule, pieces, tuple(first.replace(targets[0], target) for target in targets))
