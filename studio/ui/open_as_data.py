"""A file that the studio has written itself becomes the data of the form, on the Dataset tab.

For the parts of the page that make training data: conversations and votes of the Chat tab. What
is in the file is their business; a person's own files come in on the Dataset tab.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from studio.recipe import Recipe
from studio.ui.guard import guarded
from studio.ui.shared import PRIVATE, Shared, recipe_of


@dataclass(frozen=True)
class NewData:
    """`source` is the file, `told` a sentence on what is in it. `also` are other values of the
    recipe that go with it, by dotted key."""

    source: Path
    told: str
    also: dict[str, Any] = field(default_factory=dict)


def open_as_data(
    shared: Shared, trigger: Callable[..., Any], write: Callable[..., NewData],
    inputs: Mapping[str, Component],
) -> None:
    """After `trigger`, such as `button.click`, the form trains on what `write(event, **inputs)`
    has made, and the Dataset tab opens. Call inside `when_complete`.

    A StudioError of `write` is a toast, and nothing changes.
    """

    @guarded
    def take(event: gr.EventData, **values: Any) -> list[Any]:
        made = write(event, **{name: values.pop(name) for name in inputs})
        recipe = recipe_of(values)
        updates = shared.updates_for(recipe.with_values(values_for(made, recipe)))
        gr.Info(escape(made.told))
        return [*updates, gr.Tabs(selected="dataset")]

    shared.refresh_after(trigger(
        take, inputs_kwargs={**inputs, **shared.form()},
        outputs=[*shared.ordered(), shared.tabs], show_progress="hidden", **PRIVATE))


def values_for(made: NewData, recipe: Recipe) -> dict[str, Any]:
    """The recipe's values that make the file the only data; what told how to read the data before
    it is forgotten."""
    values: dict[str, Any] = {
        "data.source": str(made.source), "data.mix": {}, "data.config": None, "data.split": "train",
        "data.revision": None, "data.format": "auto", "data.columns": {}}
    if recipe.data.held_out in ("column", "file"):
        values["data.held_out"] = "fraction"
    if recipe.data.group_column:
        values["data.group_column"] = None
    return {**values, **made.also}
