"""The box "Try several values": a line per field, live what it makes, and into the queue with it.

Wiring, handlers, and the list of names; the combinations come from `studio/recipe/grid.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import RunError, StudioError
from studio.files import safe_name
from studio.recipe import Recipe, form_fields
from studio.recipe.grid import grid, parse_grid
from studio.ui.guard import error_html
from studio.ui.shared import DIRECT, Shared, recipe_of

if TYPE_CHECKING:
    from studio.ui.studio import Studio

EXAMPLE = "adapter.rank: 8, 16, 32\ntraining.learning_rate: 0.0001, 0.0002"
NAMES_SHOWN = 12
PICKED = ("training.learning_rate", "adapter.rank", "adapter.alpha", "training.epochs",
          "training.batch_size", "training.seed")
"""Offered first, since these are what people try."""


@dataclass(frozen=True)
class GridBox:
    """The components: the lines that were written, and the button that queues all of it."""

    lines: gr.Textbox
    add: gr.Button


def build(studio: Studio, shared: Shared, name: gr.Textbox) -> GridBox:
    """A folded box. `name` is what every run's name begins with, where it is given."""
    with (gr.Accordion("Try several values", open=False, elem_id="grid-box"),
          gr.Column(elem_classes="stack")):
        field = gr.Dropdown(
            choices(), value=None, label="Setting to try", elem_id="grid-field",
            info="Adds a line below with its present value.")
        lines = gr.Textbox(
            label="Values", lines=3, max_lines=10, placeholder=EXAMPLE, elem_id="grid-lines",
            info="One setting a line, its values with commas between. Every combination is a run.")
        found = gr.HTML(elem_id="grid-found", padding=False)
        add = gr.Button("Add all to the queue", size="sm", interactive=False, elem_id="grid-add")
    box = GridBox(lines, add)
    shared.when_complete(lambda: _wire(studio, shared, name, field, found, box))
    return box


def choices() -> list[tuple[str, str]]:
    """(label, key) of every field, what people try most first."""
    labels = {field.key: field.label for field in form_fields()}
    keys = [*PICKED, *(key for key in labels if key not in PICKED)]
    return [(f"{labels[key]} ({key})", key) for key in keys]


def _wire(
    studio: Studio, shared: Shared, name: gr.Textbox, field: gr.Dropdown, found: gr.HTML,
    box: GridBox,
) -> None:
    inputs = {"name": name, "lines": box.lines, **shared.form()}
    outputs = [found, box.add]

    def show(name: str | None, lines: str | None, **form: Any) -> list[Any]:
        return list(preview(studio, name or "", lines or "", form))

    def add_line(key: str | None, lines: str | None, **form: Any) -> list[Any]:
        return [None, with_line(lines or "", key, form) if key else gr.skip()]

    live: dict[str, Any] = {"inputs_kwargs": inputs, "outputs": outputs,
                            "trigger_mode": "always_last", **DIRECT}
    gr.on([box.lines.change, name.blur], show, **live)
    field.input(
        add_line, inputs_kwargs={"key": field, "lines": box.lines, **shared.form()},
        outputs=[field, box.lines], **DIRECT,
    )


def with_line(lines: str, key: str, form: dict[str, Any]) -> str:
    """`lines` and one more for the field `key`, with its value in the form."""
    value = form[key]
    kept = f"{lines.rstrip()}\n" if lines.strip() else ""
    return f"{kept}{key}: {'' if value is None else value}"


def preview(
    studio: Studio, name: str, lines: str, form: dict[str, Any]
) -> tuple[str, gr.Button]:
    """What the lines make, and whether it can be queued."""
    off = gr.Button("Add all to the queue", interactive=False)
    if not lines.strip():
        return "", off
    try:
        runs = runs_of(studio, name, lines, recipe_of(form))
    except StudioError as error:
        return f'<div class="note note-warning">{error_html(error)}</div>', off
    label = "Add it to the queue" if len(runs) == 1 else f"Add all {len(runs)} to the queue"
    return names_view([name for name, _ in runs]), gr.Button(label, interactive=True)


def runs_of(studio: Studio, name: str, lines: str, recipe: Recipe) -> list[tuple[str, Recipe]]:
    """(name, recipe) of every combination. Raises RecipeError, RunError for a name that is taken.
    """
    before = f"{name.strip()}-" if name.strip() else ""
    runs = [(safe_name(before + part), one) for part, one in grid(recipe, parse_grid(lines))]
    taken = {run.name for run in studio.shelf.runs()}
    again = [one for one, _ in runs if one in taken]
    if again:
        raise RunError(f"There is already a run named {again[0]}.",
                       "Give a run name above: it is put before each of these names.")
    return runs


def names_view(names: list[str]) -> str:
    """How many runs it makes, and what they are called."""
    count = "One run" if len(names) == 1 else f"{len(names)} runs"
    shown = "".join(f"<li>{escape(name)}</li>" for name in names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    rest = f'<li class="quiet">and {more} more</li>' if more > 0 else ""
    return (f'<div class="grid-names" data-count="{len(names)}"><b>{count}</b>'
            f"<ul>{shown}{rest}</ul></div>")

