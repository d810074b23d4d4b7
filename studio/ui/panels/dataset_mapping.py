"""The column mapping form: which column plays which part, with the first record as it would be.

Works on the first rows, so it never waits. What it shows is in `dataset_mapping_view.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.data import shapes
from studio.data.mapping import parts_of, suggest
from studio.errors import DataError, StudioError
from studio.ui import markup
from studio.ui.data_look import Look
from studio.ui.guard import guarded
from studio.ui.panels import dataset_mapping_view as view
from studio.ui.panels.dataset_found_view import FORMAT_WORDS
from studio.ui.panels.dataset_page import DataPage
from studio.ui.shared import PRIVATE, QUIET, Shared, recipe_of
from studio.ui.widgets import build_fields

if TYPE_CHECKING:
    from studio.data.detection import Detection
    from studio.data.groups import Groups
    from studio.data.lab.first_page import Page
    from studio.ui.studio import Studio

USUAL = "prompt_completion"
"""What the form opens with where nothing is recognised."""


def build(studio: Studio, shared: Shared, page: DataPage) -> None:
    """The kind of record, a row for each part, and the preview beside them."""
    with (gr.Group(elem_classes="card"),
          gr.Accordion("Which column is what", open=False, elem_id="dataset-mapping") as fold):
        with gr.Row():
            with gr.Column(scale=5, min_width=340):
                chosen = gr.Dropdown(
                    [(words, name) for name, words in FORMAT_WORDS.items()], value=USUAL,
                    label="What a record is", elem_id="mapping-format", interactive=True)
                parts = [_part_control(number) for number in range(view.MOST_PARTS)]
                apply = gr.Button("Read the data like this", variant="primary", size="sm",
                                  elem_id="mapping-apply", elem_classes="narrow")
            with gr.Column(scale=6, min_width=360):
                preview = gr.HTML(elem_id="mapping-preview", padding=False)
        with gr.Accordion("The same as text", open=False, elem_id="mapping-text"):
            build_fields(shared, ["data.columns"])
    form = [chosen, *parts]
    page.refilled += [(fold, lambda look: gr.Accordion(open=_is_unknown(look)))]
    page.refilled += [(one, _filled(number)) for number, one in enumerate(form)]
    page.refilled += [(preview, first_preview)]
    shared.when_complete(lambda: _wire(studio, shared, page, form, (preview, apply)))


def _part_control(number: int) -> gr.Dropdown:
    return gr.Dropdown([], label="", allow_custom_value=True, interactive=True, visible=False,
                       elem_id=f"mapping-part-{number}", elem_classes="field")


def _is_unknown(look: Look) -> bool:
    return look.page is not None and look.page.detection.format is None


def _filled(number: int) -> Any:
    def update(look: Look) -> Any:
        return form_updates(look.page)[number] if look.page else gr.skip()
    return update


def form_updates(page: Page) -> list[Any]:
    """The form as it opens for these rows: what was recognised, or what is likeliest."""
    groups = groups_of_page(page)
    format, columns = opening(page.detection, groups)
    return [gr.update(value=format), *part_updates(format, columns, groups)]


def opening(detection: Detection, groups: Groups) -> tuple[str, dict[str, str]]:
    """(format, role -> column) to begin with."""
    columns = dict(detection.columns) if detection.format else suggest(groups)
    if detection.format is not None:
        return detection.format, columns
    filled = (shape.format for shape in shapes.SHAPES if set(shape.needed) <= set(columns))
    return next(filled, USUAL), columns


def groups_of_page(page: Page) -> Groups:
    """What the columns of the first rows hold."""
    from studio.data.detect import groups_of

    return groups_of(page.rows, page.places)


def part_updates(format: str, columns: dict[str, str], groups: Groups) -> list[Any]:
    """One update per part's control; those that the format has no part for are hidden."""
    parts = parts_of(format)
    choices = view.column_choices(groups)
    return [
        gr.update(choices=choices, value=columns.get(part.role), visible=True,
                  label=view.part_label(part), info=part.help)
        for part in parts
    ] + [gr.update(visible=False, value=None)] * (view.MOST_PARTS - len(parts))


def first_preview(look: Look) -> str:
    """The preview that goes with the form as it opens."""
    if look.page is None:
        return ""
    format, columns = opening(look.page.detection, groups_of_page(look.page))
    return preview(look.page, format, columns)


def preview(page: Page, format: str, columns: dict[str, str]) -> str:
    """The first record read in this way, or what is missing, or what is wrong with it."""
    if not page.rows:
        return markup.empty("No record", "Nothing in the source can be read.")
    missing = view.missing_view(format, columns)
    if missing:
        return missing
    from studio.data.convert import to_sample
    from studio.data.detect import choose_format
    from studio.recipe import Data

    try:
        data = Data().model_copy(update={"format": format, "columns": columns})
        detection = choose_format(groups_of_page(page), page.name, data)
        return view.preview_view(page.rows[0], to_sample(page.rows[0], detection))
    except DataError as error:
        return markup.note(f"The first record: {error.message}", error.hint, "warning")


def _wire(
    studio: Studio, shared: Shared, page: DataPage, form: list[Any], parts: tuple[Any, Any]
) -> None:
    (chosen, *controls), (shown, apply) = form, parts

    def first_rows(key: str) -> Page:
        look = studio.data.look(key)
        if look is None or look.page is None:
            raise StudioError("No data was read yet.", "Choose data first.")
        return look.page

    @guarded
    def other_format(key: str, format: str) -> list[Any]:
        rows = first_rows(key)
        groups = groups_of_page(rows)
        _, columns = opening(rows.detection, groups)
        known = {part.role: columns[part.role] for part in parts_of(format)
                 if part.role in columns}
        return [*part_updates(format, known, groups), preview(rows, format, known)]

    @guarded
    def follow(key: str, format: str, *values: str | None) -> str:
        return preview(first_rows(key), format, view.mapping_of(format, values))

    @guarded
    def take(values: Sequence[str | None], form: dict[str, Any]) -> list[Any]:
        format, *columns = values
        found = {"data.format": format, "data.columns": view.mapping_of(str(format), columns)}
        return shared.updates_for(recipe_of(form).with_values(found))

    def take_form(**given: Any) -> Any:
        values = [given.pop(f"mapping_{number}") for number in range(len(form))]
        return take(values, given)

    chosen.input(other_format, [page.following, chosen], [*controls, shown], **QUIET)
    gr.on([one.input for one in controls], follow, [page.following, *form], shown,
          trigger_mode="always_last", **QUIET)
    page.recipe_changed(apply.click(
        take_form, outputs=shared.ordered(), show_progress="hidden", **PRIVATE,
        inputs_kwargs={**{f"mapping_{number}": one for number, one in enumerate(form)},
                       **shared.form()}), shared)
