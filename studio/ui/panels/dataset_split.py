"""Which part is held out: the choice, the fields that belong to it, and the counts."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.presets import starter_recipe
from studio.ui import markup
from studio.ui.data_look import Look
from studio.ui.panels.dataset_found_view import split_view
from studio.ui.panels.dataset_page import DataPage
from studio.ui.shared import DIRECT, Shared
from studio.ui.widgets import build_fields

FIELDS: dict[str, tuple[str, ...]] = {
    "fraction": ("data.eval_fraction", "data.seed"),
    "grouped": ("data.eval_fraction", "data.group_column", "data.seed"),
    "column": ("data.eval_column", "data.eval_value"),
    "file": ("data.eval_source",),
}
"""The fields that decide, by what `data.held_out` says."""
KEYS = tuple(dict.fromkeys(key for keys in FIELDS.values() for key in keys))

COLUMN_KEYS = ("data.group_column", "data.eval_column")
"""Fields that name a column; they offer those that there are."""


def build(shared: Shared, page: DataPage) -> None:
    """Fields on the left, the two parts on the right."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Held-out part", "Never trained on; the loss on it tells whether "
                               "the model learns the task or only these examples."))
        with gr.Row():
            with gr.Column(scale=5, min_width=360):
                build_fields(shared, ["data.held_out", *KEYS],
                             {key: [("none", "")] for key in COLUMN_KEYS})
            with gr.Column(scale=6, min_width=360):
                split = gr.HTML(elem_id="dataset-split", padding=False)
    page.settled.append((split, _split))
    page.refilled += [(shared.fields[key], _column_names) for key in COLUMN_KEYS]
    shown = visible_fields(starter_recipe().data.held_out)
    for key, field in zip(KEYS, [shared.fields[key] for key in KEYS], strict=True):
        field.visible = shown[key]
    chooser, fields = shared.fields["data.held_out"], [shared.fields[key] for key in KEYS]
    # Follows the choice however it comes about: by hand, by a preset, by an opened recipe.
    chooser.change(lambda held_out: [gr.update(visible=visible) for visible
                                     in visible_fields(held_out).values()],
                   chooser, fields, **DIRECT)


def visible_fields(held_out: str) -> dict[str, bool]:
    """Which of `KEYS` are shown for a choice."""
    return {key: key in FIELDS.get(held_out, ()) for key in KEYS}


def _column_names(look: Look) -> Any:
    rows = look.page.rows if look.page else ()
    names = dict.fromkeys(name for row in rows for name in row)
    return gr.update(choices=[("none", ""), *((name, name) for name in names)])


def _split(look: Look) -> Any:
    report = look.report
    if report is None or not report.statistics.examples:
        return ""
    if not report.train_examples + report.eval_examples:
        return markup.note("Nothing can be split yet.", report.split, "warning")
    return split_view(report.train_examples, report.eval_examples, report.split)
