"""Which parameter of a model each tensor of its files belongs to, without loading any.

Transformers renames some tensors when it loads them and puts others together, such as the experts
of a mixture; its own rules are asked here. Knows nothing of adapters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StoredNames:
    """`parameter_of` maps a tensor's name in the files to the parameter that it fills or is a part
    of; what the model has no place for is missing. `converted` are the parameters that are put
    together from tensors, or turned, when the model is loaded."""

    parameter_of: Mapping[str, str]
    converted: frozenset[str]


def stored_names(model: Any, stored: Iterable[str]) -> StoredNames:
    """Of the names in `stored`, as Transformers reads them into `model` (which needs no memory)."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    parameters, prefix = model.state_dict(), model.base_model_prefix
    parameter_of: dict[str, str] = {}
    converted: set[str] = set()
    for name in stored:
        found, pattern = rename_source_key(name, renamings, converters, prefix, parameters)
        if found not in parameters and name in parameters:
            found, pattern = rename_source_key(name, [], [], prefix, parameters)
        if found not in parameters:
            continue
        parameter_of[name] = found
        if pattern is not None:
            converted.update(_all_of(found, pattern, converters))
    return StoredNames(parameter_of, frozenset(converted))


def _all_of(first: str, pattern: str, converters: list[Any]) -> list[str]:
    """A rule that makes several parameters names the first of them."""
    rule = next(one for one in converters if pattern in one.source_patterns)
    targets = rule.target_patterns
    return [first.replace(targets[0], target) for target in targets]
