"""Describes the recipe's fields to whoever draws them: the page's forms and the command line.

Pure data; knows neither gradio nor typer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from studio.recipe.fields import Recipe

Kind = Literal["choice", "switch", "whole", "number", "text", "names", "map"]


@dataclass(frozen=True)
class FormField:
    """One field: `key` is dotted (adapter.rank); `minimum` and `maximum` bound a slider."""

    key: str
    label: str
    help: str
    kind: Kind
    default: Any
    rare: bool
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None


def form_fields(section: str | None = None) -> tuple[FormField, ...]:
    """All fields in order, or those of one section (model, data, adapter, training)."""
    found = []
    for name, group in Recipe.model_fields.items():
        if section in (None, name):
            part: type[BaseModel] = group.annotation  # type: ignore[assignment]
            found += [_describe(name, key, field) for key, field in part.model_fields.items()]
    return tuple(found)


def _describe(section: str, name: str, field: FieldInfo) -> FormField:
    extra: dict[str, Any] = field.json_schema_extra  # type: ignore[assignment]
    kind, choices = _kind(field.annotation)
    lower, upper = _bounds(field)
    return FormField(
        key=f"{section}.{name}", label=field.title or name, help=field.description or "",
        kind=kind, default=field.default, rare=extra["rare"], choices=choices,
        minimum=lower, maximum=extra["top"] or upper, step=extra["step"],
    )


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", tuple(get_args(annotation))
    if get_origin(annotation) is list:
        return "names", ()
    if get_origin(annotation) is dict:
        return "map", ()
    simple: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number", str: "text"}
    if annotation in simple:
        return simple[annotation], ()
    branches = [_kind(part) for part in get_args(annotation) if part is not type(None)]
    choices = tuple(choice for _, several in branches for choice in several)
    kinds = {kind for kind, _ in branches}
    if "names" in kinds:
        return "names", choices
    if "switch" in kinds:
        return "choice", (*choices, "on", "off")
    return branches[0][0], choices


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    lower = upper = None
    for constraint in field.metadata:
        lower = _first(lower, getattr(constraint, "ge", None), getattr(constraint, "gt", None))
        upper = _first(upper, getattr(constraint, "le", None), getattr(constraint, "lt", None))
    return lower, upper


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
