"""What every part of a recipe is made of: a frozen group of settings that describe themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Number = TypeVar("Number", int, float)
STARTER = "starter"
"""The `source` that means the model or the data that comes with the studio."""


def setting(
    default: Any, label: str, help: str, *, rare: bool = False, step: float | None = None,
    top: float | None = None, lines: bool = False, **limits: Any,
) -> Any:
    """A field with what a form needs: `rare` settings are folded away, `top` ends a slider,
    `lines` asks for a box of several lines."""
    extra: dict[str, Any] = {"rare": rare, "step": step, "top": top, "lines": lines}
    return Field(default, title=label, description=help, json_schema_extra=extra, **limits)


def require_each(
    values: dict[str, Number], allows: Callable[[Number], bool], words: str
) -> dict[str, Number]:
    """`values`, all of them allowed. Raises ValueError for the first that is not: `words` with its
    {name} and {value}."""
    for name, value in values.items():
        if not allows(value):
            raise ValueError(words.format(name=name, value=value))
    return values


class Part(BaseModel):
    """A part of a recipe: unknown keys are mistakes, and nothing changes after it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
