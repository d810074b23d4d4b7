"""Describes the recipe's fields to whoever draws them, and reads what was filled in.

Pure data; knows neither gradio nor typer. `form_fields` describes, `form_from_recipe` gives the
values that a form shows, `recipe_from_form` reads them back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from studio.errors import RecipeError
from studio.recipe.fields import Recipe, parse_recipe

Kind = Literal["choice", "switch", "whole", "number", "text", "lines", "names", "texts", "map",
               "weights"]


@dataclass(frozen=True)
class FormField:
    """One field: `key` is dotted (adapter.rank); `minimum` and `maximum` bound a slider.

    `above_minimum` says that the minimum itself is not allowed; `maximum` is where a slider ends,
    which may be below what the recipe allows.
    """

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
    above_minimum: bool = False


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
    if extra["lines"]:
        kind = "texts" if kind == "names" else "lines"
    lower, upper = _bounds(field)
    return FormField(
        key=f"{section}.{name}", label=field.title or name, help=field.description or "",
        kind=kind, default=field.default, rare=extra["rare"], choices=choices,
        minimum=lower, maximum=extra["top"] or upper, step=extra["step"],
        above_minimum=any(getattr(item, "gt", None) is not None for item in field.metadata),
    )


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", tuple(get_args(annotation))
    if get_origin(annotation) is list:
        return "names", ()
    if get_origin(annotation) is dict:
        return ("map" if get_args(annotation)[1] is str else "weights"), ()
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


_SPOKEN = {"on": True, "off": False}


def form_from_recipe(recipe: Recipe) -> dict[str, Any]:
    """What every control shows for `recipe`, by dotted key: lists and maps as text."""
    tree = recipe.model_dump(mode="json")
    return {
        field.key: _shown(field, tree[section][name])
        for field in form_fields()
        for section, name in [field.key.split(".")]
    }


def recipe_from_form(values: Mapping[str, Any]) -> Recipe:
    """A recipe from what a form holds, by dotted key; what is missing or empty is the default.

    Names may come as a list or as text with commas, maps as "prompt: question, completion:
    answer" or as JSON, switches with a third choice as auto, on or off. Raises RecipeError with
    every mistake.
    """
    known = {field.key: field for field in form_fields()}
    tree: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        if key in known:
            value = _read(known[key], value)
        if name:
            tree.setdefault(section, {})[name] = value
        else:
            tree[section] = value
    return parse_recipe(tree)


def _shown(field: FormField, value: Any) -> Any:
    if value is None:
        return ""
    if field.kind == "names":
        return value if isinstance(value, str) else ", ".join(value)
    if field.kind == "texts":
        return "\n".join(text.replace("\n", "\\n") for text in value)
    if field.kind == "map":
        return _shown_map(value)
    if field.kind == "weights":
        return "\n".join(f"{name}: {weight:g}" for name, weight in value.items())
    if field.kind == "choice" and isinstance(value, bool):
        return "on" if value else "off"
    return value


def _shown_map(value: Mapping[str, str]) -> str:
    """Parts and columns in a line; as JSON where a line could not be read back."""
    texts = [text for pair in value.items() for text in pair]
    if any("," in text or "\n" in text or text != text.strip() for text in texts):
        return json.dumps(value, ensure_ascii=False)
    return ", ".join(f"{part}: {column}" for part, column in value.items())


def _read(field: FormField, value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        return field.default
    if field.kind == "names":
        return _read_names(field, value)
    if field.kind == "texts":
        lines = value.splitlines() if isinstance(value, str) else value
        return [line.strip().replace("\\n", "\n") for line in lines if line.strip()]
    if field.kind == "map":
        return value if isinstance(value, Mapping) else _read_map(field, value)
    if field.kind == "weights":
        return value if isinstance(value, Mapping) else _read_weights(value)
    if field.kind == "lines":
        return value
    if field.kind == "choice" and value in _SPOKEN and "on" in field.choices:
        return _SPOKEN[value]
    return value.strip() if isinstance(value, str) else value


def _read_names(field: FormField, value: str | list[str]) -> str | list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    names = [str(part).strip() for part in parts if str(part).strip()]
    if len(names) == 1 and names[0] in field.choices:
        return names[0]
    return names


def _read_weights(text: str) -> dict[str, float]:
    """One source a line, its weight behind the last colon; a name may hold colons itself."""
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, weight = line.rpartition(":")
        try:
            found[name.strip() or line] = float(weight)
        except ValueError:
            found[line] = 1.0
    return found


def _read_map(field: FormField, text: str) -> Any:
    if text.lstrip().startswith("{"):
        return _read_json_map(field, text)
    found = {}
    for entry in text.split(","):
        part, colon, column = entry.partition(":")
        if entry.strip() and not (colon and part.strip() and column.strip()):
            raise RecipeError(
                f"{field.key} has {entry.strip()!r}, but every entry is a part, a colon, and a "
                "column.", "Write for example prompt: question, completion: answer.",
            )
        if entry.strip():
            found[part.strip()] = column.strip()
    return found


def _read_json_map(field: FormField, text: str) -> Any:
    """What the JSON holds; the recipe says what is wrong with its parts."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RecipeError(
            f"{field.key} begins like JSON, but it is none: {error}.",
            'Write {"prompt": "{title}, {body}"}, or prompt: question, completion: answer.',
        ) from None
