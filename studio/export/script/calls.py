"""Python text: calls of constructors with their arguments, one a line."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any

_RECORDED_LATER = {"base_model_name_or_path", "peft_version", "runtime_config", "inference_mode",
                   "auto_mapping", "revision", "peft_type"}
"""Fields that PEFT fills in by itself."""
_ALWAYS = {"r", "lora_alpha", "lora_dropout"}
"""Shown also where they are PEFT's defaults: the first that a person will want to change."""


class Code(str):
    """Text that is code, not the text of a string."""

    __slots__ = ()


def call(name: str, values: Mapping[str, Any], indent: int = 0) -> Code:
    """`name(key=value, ...)`, what stands in it moved in by `indent` and four spaces."""
    if not values:
        return Code(f"{name}()")
    inner = " " * (indent + 4)
    lines = "".join(f"{inner}{key}={written(value)},\n" for key, value in values.items())
    return Code(f"{name}(\n{lines}{' ' * indent})")


def peft_call(config: Any, indent: int = 0) -> Code:
    """The constructor of a PEFT configuration with what differs from its defaults."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in _RECORDED_LATER or not field.init:
            continue
        if field.name in _ALWAYS or value != _default(field):
            values[field.name] = value
    return call(type(config).__name__, values, indent)


def _default(field: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def written(value: Any) -> str:
    """`value` as it may be typed: sets in order, words of an enumeration as texts."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, enum.Enum):
        return written(value.value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (set, frozenset)):
        return written(sorted(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)}: {written(one)}"
                               for key, one in value.items()) + "}"
    return repr(value)
