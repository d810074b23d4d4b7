"""What all verbs share: the options --home, --offline and --json, the recipe argument, errors.

The one place where a StudioError becomes a person's sentence on a terminal.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.errors import RecipeError, StudioError
from studio.presets import starter_recipe
from studio.recipe import Recipe, load_recipe
from studio.recipe.base import STARTER
from studio.settings import Settings, load_settings, prepare_environment

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

Home = Annotated[
    Path | None, typer.Option("--home", metavar="DIR", help="The studio's folder for models, "
                              "runs, and exports. Default: AdapterStudio in your own folder.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Do not use the network.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")
]
RecipeFile = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe file (YAML), or 'starter'.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe, such as "
                 "--set adapter.rank=8. Can be given several times."),
]


def open_settings(home: Path | None, offline: bool = False) -> Settings:
    """Settings of this call, with the libraries' switches set before any of them is imported."""
    settings = load_settings(home, offline=offline or None)
    prepare_environment(settings)
    return settings


def read_recipe(recipe: str, changes: list[str] | None = None) -> Recipe:
    """The recipe of a call, with its `--set` changes applied."""
    found = starter_recipe() if recipe == STARTER else load_recipe(recipe)
    return found.with_values(_parsed(changes)) if changes else found


def recipe_shape(recipe: Recipe, settings: Settings) -> ModelShape:
    """The shape of the recipe's model, from its configuration alone."""
    from studio.models.shape import model_shape

    return model_shape(recipe.model.source, settings, revision=recipe.model.revision,
                       trust_remote_code=recipe.model.trust_remote_code)


def _parsed(changes: list[str]) -> dict[str, Any]:
    import yaml

    values: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise RecipeError(f"--set {change} has no '='.", "Write --set adapter.rank=8.")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise RecipeError(f"--set {change} has no readable value.",
                              "Write --set adapter.rank=8.") from None
    return values


def report(as_json: bool, work: Callable[[], dict[str, Any]],
           show: Callable[[dict[str, Any]], None]) -> None:
    """Run `work` and print its result: as JSON, or through `show` for a person."""
    if not as_json:
        show(work())
        return
    try:
        with _standard_output_kept_clean():
            result = work()
    except StudioError as error:
        _write_json({"error": error.message, "hint": error.hint})
        raise
    _write_json(result)


def finite(value: float | None) -> float | None:
    """JSON knows no NaN and no infinity: such a number is left out."""
    return value if value is not None and math.isfinite(value) else None


def _write_json(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write((json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8"))
    sys.stdout.flush()


@contextmanager
def _standard_output_kept_clean() -> Iterator[None]:
    """Send what libraries print, also from native code, to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def explain(error: StudioError) -> None:
    """One error, as a person reads it, on standard error."""
    from studio.cli.show import errors

    errors.print(f"[bold red]Error:[/] {_plain(error.message)}", soft_wrap=True)
    if error.hint:
        errors.print(f"[bold]What to do:[/] {_plain(error.hint)}", soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
