"""Where the examples come from, and what was found there: the top of the Dataset tab."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.data.reading.endings import COMPRESSED, READABLE
from studio.files import free_path, require_free_bytes, safe_name
from studio.settings import Settings
from studio.ui import markup
from studio.ui.data_look import Look
from studio.ui.guard import guarded
from studio.ui.panels import dataset_found_view, method_data
from studio.ui.panels.dataset_page import DataPage
from studio.ui.shared import PRIVATE, QUIET, Shared, recipe_of
from studio.ui.widgets import build_fields, field_update

if TYPE_CHECKING:
    from studio.ui.studio import Studio

FILE_TYPES = sorted({*READABLE, *COMPRESSED})
HUB_KEYS = ("data.config", "data.split", "data.revision")


def build(studio: Studio, shared: Shared, page: DataPage) -> None:
    """Sources on the left; format, counts and the bar of the scan on the right."""
    with gr.Row():
        with gr.Column(scale=5, min_width=360), gr.Group(elem_classes="card"):
            uploads = _build_sources(shared)
        with gr.Column(scale=6, min_width=440), gr.Group(elem_classes="card"):
            again, stop = _build_found(studio, shared, page)
    shared.when_complete(lambda: _wire(studio, shared, page, uploads, (again, stop)))


def _build_sources(shared: Shared) -> dict[str, gr.UploadButton]:
    gr.HTML(markup.heading("Examples", "What the model is to learn: a file or folder of this PC, a "
                           "Hugging Face id, or the starter."))
    build_fields(shared, ["data.source"], {"data.source": [("Starter: orders to JSON", "starter")]})
    main = gr.UploadButton("Upload a file", size="sm", file_types=FILE_TYPES,
                           elem_id="dataset-upload", elem_classes="narrow")
    build_fields(shared, ["data.format"])
    shared.fields["data.format"].choices = [
        ("Look at the records and say what was seen", "auto"),
        *((words, name) for name, words in dataset_found_view.FORMAT_WORDS.items())]
    with gr.Accordion("Mix in more sources", open=False, elem_id="dataset-mix"):
        build_fields(shared, ["data.mix"])
        more = gr.UploadButton("Upload a file to mix in", size="sm", file_types=FILE_TYPES,
                               elem_id="dataset-upload-more", elem_classes="narrow")
    with gr.Accordion("Of a Hugging Face dataset", open=False, elem_id="dataset-hub"):
        build_fields(shared, HUB_KEYS)
    return {"data.source": main, "data.mix": more}


def _build_found(
    studio: Studio, shared: Shared, page: DataPage
) -> tuple[gr.Button, gr.Button]:
    with gr.Row():
        gr.HTML(markup.heading("What was found"))
        stop = gr.Button("Stop", size="sm", variant="stop", scale=0, min_width=100, visible=False,
                         elem_id="dataset-stop")
        again = gr.Button("Look again", size="sm", scale=0, min_width=100, elem_id="dataset-again")
    status = gr.HTML(elem_id="dataset-status", padding=False)
    method_data.build(studio, shared, "dataset-method-data")
    found = gr.HTML(markup.empty("Nothing read yet", "Choose data on the left."),
                    elem_id="dataset-found", padding=False)
    page.live += [
        (status, dataset_found_view.status_view),
        (stop, lambda look: gr.Button(visible=look.state == "running")),
        (again, lambda look: gr.Button(visible=look.state != "running")),
    ]
    page.settled.append((found, found_view))
    return again, stop


def found_view(look: Look) -> str:
    """The report's counts, or what the first rows look like until it is there."""
    if look.page is None:
        return markup.empty("Nothing was read", "Choose other data on the left, or mend it.")
    if look.report is not None:
        return dataset_found_view.found_view(
            look.report, has_tokenizer=not look.begun or look.tokenizer is not None)
    return dataset_found_view.page_view(look.page)


def _wire(
    studio: Studio, shared: Shared, page: DataPage, uploads: dict[str, gr.UploadButton],
    buttons: tuple[gr.Button, gr.Button],
) -> None:
    again, stop = buttons

    @guarded
    def take_main(uploaded: str) -> str:
        return str(keep_upload(Path(uploaded), studio.settings))

    @guarded
    def take_more(uploaded: str, **form: Any) -> Any:
        data = recipe_of(form).data
        kept = str(keep_upload(Path(uploaded), studio.settings))
        return field_update("data.mix", "\n".join(
            f"{name}: {weight:g}" for name, weight in {**data.mix, kept: 1.0}.items()))

    main, more = uploads["data.source"], uploads["data.mix"]
    page.recipe_changed(
        main.upload(take_main, main, shared.fields["data.source"], **PRIVATE), shared)
    page.recipe_changed(
        more.upload(take_more, inputs_kwargs={"uploaded": more, **shared.form()},
                    outputs=shared.fields["data.mix"], **PRIVATE), shared)
    stop.click(lambda key: studio.data.stop(key), page.following, None, **QUIET)
    page.recipe_changed(again.click(lambda: None, None, None, **QUIET), shared)


def keep_upload(uploaded: Path, settings: Settings) -> Path:
    """Copy an uploaded file to the studio's home under a safe, free name. Raises DiskError."""
    require_free_bytes(settings.uploads, uploaded.stat().st_size, "The uploaded file")
    settings.uploads.mkdir(parents=True, exist_ok=True)
    stem, endings = split_endings(uploaded.name)
    target = free_path(settings.uploads, safe_name(stem, "data"), endings)
    beside = target.with_name(f".partial-{target.name}")
    shutil.copyfile(uploaded, beside)
    beside.replace(target)
    return target


def split_endings(name: str) -> tuple[str, str]:
    """"orders.JSONL.gz" -> ("orders", ".jsonl.gz")."""
    path = Path(name)
    last = path.suffix.lower()
    if last in COMPRESSED and Path(path.stem).suffix.lower() in READABLE:
        inner = Path(path.stem)
        return inner.stem, inner.suffix.lower() + last
    return path.stem, last
