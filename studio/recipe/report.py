"""Turns everything that is wrong with a recipe into one report a person can act on.

Each line names the field, what was given, what is allowed, and for an unknown key the nearest
known one. Knows pydantic's error list, nothing of YAML.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from studio.errors import RecipeError

_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def recipe_error(error: ValidationError, root: type[BaseModel]) -> RecipeError:
    """One error with one line per mistake."""
    lines = list(dict.fromkeys(_lines(error, root)))
    count = "one mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return RecipeError(
        f"The recipe has {count}: " + "; ".join(lines) + ".",
        "Correct what is named and start again.", tuple(lines),
    )


def _lines(error: ValidationError, root: type[BaseModel]) -> Iterable[str]:
    for item in error.errors(include_url=False, include_context=True):
        path = tuple(str(part) for part in item["loc"])
        owner, field_path = _owner(root, path)
        name = ".".join(field_path)
        if item["type"] == "extra_forbidden":
            yield _unknown(name, field_path, owner, root)
        elif not field_path or _is_of_a_part(item, owner, field_path[-1]):
            yield item["msg"].removeprefix("Value error, ")
        else:
            yield _not_allowed(name, item, owner, field_path[-1])


def _is_of_a_part(item: Any, owner: type[BaseModel], name: str) -> bool:
    """Whether a check of several fields of one part failed; its words name them."""
    field = owner.model_fields.get(name)
    return item["type"] == "value_error" and field is not None and \
        isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _owner(root: type[BaseModel], path: tuple[str, ...]) -> tuple[type[BaseModel], tuple[str, ...]]:
    """The model that holds the last real field of `path`, and the path up to it.

    Pydantic adds the branch of a union ("list[str]") behind the field; that is cut off.
    """
    owner = root
    for depth, part in enumerate(path):
        field = owner.model_fields.get(part)
        if field is None:
            return owner, path[: depth + 1]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            if depth + 1 < len(path):
                owner = field.annotation
            continue
        return owner, path[: depth + 1]
    return owner, path


def _unknown(
    name: str, path: tuple[str, ...], owner: type[BaseModel], root: type[BaseModel]
) -> str:
    known = list(owner.model_fields)
    close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    if close:
        return f"{name} is not a known key, the nearest is {'.'.join([*path[:-1], close[0]])}"
    elsewhere = [s for s, f in root.model_fields.items()
                 if path[-1] in getattr(f.annotation, "model_fields", {})]
    if elsewhere:
        return f"{name} is not a known key, it belongs to {elsewhere[0]}.{path[-1]}"
    return f"{name} is not a known key, known are {', '.join(known)}"


def _not_allowed(name: str, item: Any, owner: type[BaseModel], leaf: str) -> str:
    allowed = describe_allowed(owner, leaf)
    text = f"{name} is {_shown(item['input'])}, allowed is {allowed}"
    if item["type"] == "value_error":
        text += f" ({item['msg'].removeprefix('Value error, ')})"
    return text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def describe_allowed(owner: type[BaseModel], name: str) -> str:
    """What a field takes, in words: "a whole number, at least 1, at most 1024"."""
    field = owner.model_fields[name]
    parts = [_type_in_words(field.annotation)]
    for constraint in field.metadata:
        for attribute, words in _BOUNDS.items():
            bound = getattr(constraint, attribute, None)
            if bound is not None:
                parts.append(f"{words} {bound}")
        if getattr(constraint, "min_length", None):
            parts.append("not empty")
    return ", ".join(parts)


_WORDS: dict[Any, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text",
    type(None): "nothing",
}


def _type_in_words(annotation: Any) -> str:
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a group with {', '.join(annotation.model_fields)}"
    if origin is Literal:
        return " or ".join(str(choice) for choice in get_args(annotation))
    if origin is list:
        return "a list of names"
    if origin is dict:
        return "a map of names"
    if origin is Union or str(origin) == "<class 'types.UnionType'>":
        return " or ".join(_type_in_words(part) for part in get_args(annotation))
    return _WORDS.get(annotation, str(annotation))
