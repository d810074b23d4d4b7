"""Recipes as YAML files: read with every mistake in one report, written beside and renamed.

A file may leave out whatever has a default. Keys given twice are mistakes, not a silent choice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from studio.errors import RecipeError
from studio.files import write_text_safely
from studio.recipe.fields import Recipe, parse_recipe


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's own loader, except that a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, origin: str = "the recipe") -> Recipe:
    """A recipe from YAML text; `origin` names it in errors."""
    try:
        # Not yaml.load's unsafe default: this loader is SafeLoader with one more check.
        tree = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(
            f"{origin} is not valid YAML{where}: {error.problem}.",
            "Check the indentation and the colons there.",
        ) from None
    except yaml.YAMLError as error:
        sentence = f"{origin} is not valid YAML: {error}."
        raise RecipeError(sentence, "Save it as plain text.") from None
    return parse_recipe(tree)


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe file. Relative data and model paths stay as written."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"There is no recipe file {file}.", "Check the name.") from None
    except IsADirectoryError:
        raise RecipeError(f"{file} is a folder, not a recipe file.", "Name a .yaml file.") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{file} is not UTF-8 text.", "Save it as UTF-8.") from None
    return parse_yaml(text, str(file))


def recipe_to_yaml(recipe: Recipe) -> str:
    """Every field, defaults included, in the order in which they are declared."""
    tree = recipe.model_dump(mode="json")
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)


def save_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write a recipe file; an existing one is replaced whole or not at all."""
    write_text_safely(Path(path), recipe_to_yaml(recipe))
