"""Several values for some fields: every combination of them as a recipe with a name.

Reads what a person wrote and makes recipes; trains nothing.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from studio.errors import RecipeError
from studio.files import safe_name
from studio.recipe.fields import Recipe
from studio.recipe.form import FormField, form_fields, form_from_recipe, recipe_from_form

MOST_RUNS = 200
_HINT = "Write one field a line, such as adapter.rank: 8, 16, 32."
_OF_SEVERAL = ("names", "texts", "map", "weights", "lines")
"""Kinds whose one value may hold commas: between two values stands a semicolon."""
_SHORT = {"learning_rate": "lr", "batch_size": "batch", "gradient_accumulation": "accumulation"}
_LONGEST_NAME = 50


def parse_grid(written: str | Iterable[str]) -> dict[str, list[str]]:
    """The values of each field by dotted key, from lines such as "adapter.rank: 8, 16, 32".

    The command line's "adapter.rank=8,16,32" is read too; a field may be named by its last part
    alone where that is clear. Raises RecipeError with every mistake.
    """
    lines = written.splitlines() if isinstance(written, str) else list(written)
    axes: dict[str, list[str]] = {}
    mistakes: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        try:
            key, values = _axis(line)
        except RecipeError as error:
            mistakes.append(error.message)
            continue
        if key in axes:
            mistakes.append(f"{key} is given twice")
        axes.setdefault(key, values)
    _raise_all(mistakes)
    return axes


def grid(recipe: Recipe, axes: Mapping[str, Sequence[str]]) -> list[tuple[str, Recipe]]:
    """A name part such as "rank-8-lr-0.0002" and the recipe for every combination, in order.

    Values are read as the form reads them. Raises RecipeError with every mistake, or when there
    would be more than MOST_RUNS.
    """
    count = math.prod(len(values) for values in axes.values())
    if not axes:
        raise RecipeError("No field has several values.", _HINT)
    if count > MOST_RUNS:
        raise RecipeError(f"These values make {count:,} runs, at most {MOST_RUNS} are allowed.",
                          "Leave out some of the values.")
    form = form_from_recipe(recipe)
    found: list[tuple[str, Recipe]] = []
    mistakes: list[str] = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        try:
            found.append((_name(chosen), recipe_from_form({**form, **chosen})))
        except RecipeError as error:
            mistakes += error.mistakes or (error.message,)
    _raise_all(mistakes)
    return _told_apart(found)


def _told_apart(runs: Sequence[tuple[str, Recipe]]) -> list[tuple[str, Recipe]]:
    """The same runs; names that are cut or alike end with their number."""
    count = Counter(name for name, _ in runs)
    return [(f"{name}-{number}" if count[name] > 1 or len(name) >= _LONGEST_NAME else name, recipe)
            for number, (name, recipe) in enumerate(runs, start=1)]


def _axis(line: str) -> tuple[str, list[str]]:
    place = min((at for at in map(line.find, ":=") if at >= 0), default=-1)
    if place < 0:
        raise RecipeError(f"{line!r} has no ':'")
    field = _field(line[:place].strip())
    separator = ";" if field.kind in _OF_SEVERAL or ";" in line else ","
    values = [value.strip() for value in line[place + 1:].split(separator)]
    values = list(dict.fromkeys(filter(None, values)))
    if not values:
        raise RecipeError(f"{field.key} has no values")
    return field.key, values


def _field(name: str) -> FormField:
    known = {field.key: field for field in form_fields()}
    if name in known:
        return known[name]
    same = [key for key in known if key.partition(".")[2] == name]
    if len(same) == 1:
        return known[same[0]]
    near = same or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    nearest = f", the nearest is {' or '.join(near)}" if near else ""
    raise RecipeError(f"{name} is not a known field{nearest}")


def _name(chosen: Mapping[str, str]) -> str:
    parts = [f"{_short(key)}-{_spelled(value)}" for key, value in chosen.items()]
    return safe_name("-".join(parts))[:_LONGEST_NAME]


def _short(key: str) -> str:
    last = key.partition(".")[2]
    return _SHORT.get(last, last.replace("_", "-"))


def _spelled(value: str) -> str:
    """Of a path its last part, everything else as it was written."""
    return PurePath(value.replace("\\", "/")).name or value


def _raise_all(mistakes: Sequence[str]) -> None:
    several = list(dict.fromkeys(mistakes))
    if several:
        count = "one mistake" if len(several) == 1 else f"{len(several)} mistakes"
        raise RecipeError(f"The values have {count}: {'; '.join(several)}.", _HINT)
