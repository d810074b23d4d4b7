"""Which bases and which runs can be chatted with, and which columns a choice makes. Pure.

A base is named by its source. A run that trained every weight has no adapter: its result is a
model folder and is offered as a base of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.adapters.kinds import describe
from studio.errors import ModelError, RecipeError
from studio.recipe import Model, Recipe
from studio.recipe.base import STARTER
from studio.runs import Run

if TYPE_CHECKING:
    from studio.chat.session import Column

MAX_ADAPTERS = 3
BASE_NAME = "base"


@dataclass(frozen=True)
class Trained:
    """A run whose weights are saved. `recipe` is the one it ran with, `title` the person's own."""

    name: str
    path: Path
    recipe: Recipe
    title: str = ""

    @property
    def is_whole_model(self) -> bool:
        """True where every weight was trained, so that there is no adapter."""
        return self.recipe.adapter.method == "none"


@dataclass(frozen=True)
class Choices:
    """(label, value) pairs for the two lists, and the base of each run by its name."""

    bases: tuple[tuple[str, str], ...]
    adapters: tuple[tuple[str, str], ...]


def trained_runs(runs: list[Run]) -> list[Trained]:
    """Runs with saved weights that write answers, newest first. One with a damaged recipe is left
    out."""
    found = []
    for run in runs:
        if run.has_adapter:
            try:
                recipe = run.recipe
                if recipe.training.method != "reward":
                    found.append(Trained(run.name, run.adapter_path, recipe, run.about.title))
            except RecipeError:
                continue
    return found


def choices(trained: list[Trained], form_source: str, base: str) -> Choices:
    """What can be chosen while `base` is the chosen base source and the form names another."""
    sources = [form_source, *(t.recipe.model.source for t in trained if not t.is_whole_model)]
    bases = [(base_label(source), source) for source in dict.fromkeys(sources)]
    bases += [(f"{t.title or t.name} (all weights trained)", str(t.path))
              for t in trained if t.is_whole_model]
    adapters = [(adapter_label(t), t.name) for t in trained
                if not t.is_whole_model and t.recipe.model.source == base]
    return Choices(tuple(bases), tuple(adapters))


def base_label(source: str) -> str:
    """A base as the list shows it; of a folder the last part is what tells it apart."""
    if source == STARTER:
        return "Starter model"
    return Path(source).name if Path(source).is_absolute() else source


def adapter_label(trained: Trained) -> str:
    """A run as the list shows it."""
    what = describe(trained.recipe.adapter)
    return f"{trained.title} ({trained.name}, {what})" if trained.title else (
        f"{trained.name} ({what})")


def columns_of(
    trained: list[Trained], base: str, names: list[str], form_model: Model
) -> tuple[Model, list[Column]]:
    """The model to load and its columns, the base first. Raises ModelError for a bad choice."""
    from studio.chat.session import Column

    by_name = {t.name: t for t in trained}
    chosen = []
    for name in names:
        if name not in by_name:
            raise ModelError(f"The run {name!r} has no saved adapter.", "Choose another run.")
        if by_name[name].recipe.model.source != base:
            raise ModelError(
                f"{name} was trained on {base_label(by_name[name].recipe.model.source)}, "
                f"but the base is {base_label(base)}.", "Choose runs of the same base model.",
            )
        chosen.append(by_name[name])
    if len(chosen) > MAX_ADAPTERS:
        raise ModelError(f"{len(chosen)} adapters are chosen, at most {MAX_ADAPTERS} answer "
                         "beside the base.", "Remove some of them.")
    adapters = [Column(t.name, t.path) for t in chosen]
    return _model(trained, chosen, base, form_model), [Column(BASE_NAME), *adapters]


def _model(trained: list[Trained], chosen: list[Trained], base: str, form_model: Model) -> Model:
    """Loaded as the first chosen run was trained; else as any run of that base, or as the form."""
    of_base = [t for t in [*chosen, *trained]
               if t.recipe.model.source == base and not t.is_whole_model]
    if chosen:
        return chosen[0].recipe.model
    if form_model.source == base:
        return form_model
    if of_base:
        return of_base[0].recipe.model
    if any(t.is_whole_model and str(t.path) == base for t in trained):
        return Model(source=base)
    raise ModelError(f"There is no base model {base!r} to chat with.", "Choose one from the list.")
