"""Tab Dataset: where the examples come from, what was recognised, and one record rendered.

Handlers only; reading is `data_desk.py`, what is shown is `dataset_view.py`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import StudioError
from studio.files import require_free_bytes, safe_name
from studio.settings import Settings
from studio.ui import markup
from studio.ui.data_desk import Look, record_of
from studio.ui.guard import guarded
from studio.ui.panels import dataset_view
from studio.ui.shared import PRIVATE, QUIET, Shared, recipe_of
from studio.ui.widgets import build_fields, keys_of

if TYPE_CHECKING:
    from studio.ui.studio import Studio

FILE_TYPES = [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".md"]
SOURCE_KEYS = ("data.source", "data.format")
COLUMNS = 3
READ_AGAIN = ("data.source", "data.split", "data.format", "data.columns", "data.template",
              "data.loss_on", "data.max_length")
"""Fields that change what is shown here, besides the model."""


def build(studio: Studio, shared: Shared) -> None:
    """Source on the left, findings on the right, one record below."""
    with gr.Row():
        with gr.Column(scale=5, min_width=360), gr.Group(elem_classes="card"):
            upload = _build_source(shared)
        with gr.Column(scale=6, min_width=440), gr.Group(elem_classes="card"):
            gr.HTML(markup.heading("What was found"))
            found = gr.HTML(dataset_view.found_view(None), elem_id="dataset-found", padding=False)
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("How examples become tokens", "The record below follows."))
        _build_rendering(shared)
    with gr.Group(elem_classes="card"):
        with gr.Row():
            gr.HTML(markup.heading("One record, as the model sees it",
                                   "Coloured tokens are learned; the rest is only read."))
            previous = gr.Button("Previous", size="sm", scale=0, min_width=90,
                                 elem_id="dataset-previous")
            number = gr.Number(1, label="Record number", show_label=False, precision=0, scale=0,
                               min_width=90, elem_id="dataset-record-number", container=False)
            following = gr.Button("Next", size="sm", scale=0, min_width=90, elem_id="dataset-next")
        with gr.Row():
            with gr.Column(min_width=340):
                raw = gr.HTML(dataset_view.raw_view(None), elem_id="dataset-raw", padding=False)
            with gr.Column(min_width=340):
                rendered = gr.HTML(dataset_view.rendered_view(None), elem_id="dataset-rendered",
                                   padding=False)
    views = [found, number, raw, rendered]
    turns = {number.submit: 0, number.blur: 0, previous.click: -1, following.click: 1}
    shared.when_complete(lambda: _wire(studio, shared, upload, views, turns))


def _build_source(shared: Shared) -> gr.UploadButton:
    gr.HTML(markup.heading("Examples", "What the model is to learn."))
    build_fields(shared, SOURCE_KEYS[:1],
                 {"data.source": [("Starter: orders to JSON", "starter")]})
    upload = gr.UploadButton("Upload a file", size="sm", file_types=FILE_TYPES,
                             elem_id="dataset-upload")
    build_fields(shared, SOURCE_KEYS[1:])
    with gr.Accordion("Rarely needed", open=False, elem_id="dataset-rare"):
        build_fields(shared, keys_of("data", rare=True))
    return upload


def _build_rendering(shared: Shared) -> None:
    keys = [key for key in keys_of("data", rare=False) if key not in SOURCE_KEYS]
    for start in range(0, len(keys), COLUMNS):
        with gr.Row():
            for index in range(start, start + COLUMNS):
                with gr.Column(min_width=260):
                    build_fields(shared, keys[index:index + 1])


def _wire(
    studio: Studio, shared: Shared, upload: gr.UploadButton, views: list[Any],
    turns: dict[Any, int],
) -> None:
    number = views[1]

    @guarded
    def look(**form: Any) -> list[Any]:
        return _page(studio, form, 1)

    @guarded
    def show_record(number: float | None, **form: Any) -> list[Any]:
        return _page(studio, form, number or 1)

    @guarded
    def take_upload(uploaded: str) -> str:
        return str(keep_upload(Path(uploaded), studio.settings))

    whole = {"inputs_kwargs": shared.form(), "outputs": views, "show_progress": "minimal",
             "trigger_mode": "always_last", **PRIVATE}
    kept = upload.upload(take_upload, upload, shared.fields["data.source"], **PRIVATE)
    shared.refresh_after(kept.then(look, **whole))
    # The memory estimate counts on the longest example once the data was looked at.
    shared.refresh_after(gr.on([event for key in READ_AGAIN
                                for event in _finished(shared.fields[key])], look, **whole))
    shared.refresh_after(gr.on([shared.fields["model.source"].input], look, **whole))
    shared.refresh_after(shared.demo.load(look, inputs_kwargs=shared.form(), outputs=views,
                                          **QUIET))
    for event, step in turns.items():
        event(_turned(show_record, step), inputs_kwargs={"number": number, **shared.form()},
              outputs=views, **QUIET)


def _finished(field: Any) -> list[Any]:
    """Events that end an edit: reading data at every pixel of a slider would be too much."""
    if isinstance(field, gr.Slider):
        return [field.release]
    return [field.blur, field.submit] if isinstance(field, gr.Textbox) else [field.input]


def _turned(show_record: Any, step: int) -> Any:
    def turn(number: float | None, **form: Any) -> Any:
        return show_record(number=(number or 1) + step, **form)

    return turn


def _page(studio: Studio, form: dict[str, Any], number: float) -> list[Any]:
    """Updates for findings, record number, raw and rendered record."""
    studio.warm_up()
    try:
        look: Look = studio.data.look(recipe_of(form))
    except StudioError as error:
        return [markup.note(error.message, error.hint, "problem"), gr.skip(),
                dataset_view.raw_view(None), dataset_view.rendered_view(None)]
    record = record_of(look, int(number))
    return [dataset_view.found_view(look), record.number if record else 1,
            dataset_view.raw_view(record), dataset_view.rendered_view(record)]


def keep_upload(uploaded: Path, settings: Settings) -> Path:
    """Copy an uploaded file to the studio's home under a safe, free name. Raises DiskError."""
    require_free_bytes(settings.uploads, uploaded.stat().st_size, "The uploaded file")
    settings.uploads.mkdir(parents=True, exist_ok=True)
    stem, suffix = safe_name(uploaded.stem, "data"), uploaded.suffix.lower()
    target = settings.uploads / f"{stem}{suffix}"
    count = 1
    while target.exists():
        count += 1
        target = settings.uploads / f"{stem}-{count}{suffix}"
    beside = target.with_name(f".partial-{target.name}")
    shutil.copyfile(uploaded, beside)
    beside.replace(target)
    return target
