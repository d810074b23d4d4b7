"""The prompts of a blind test, and their answering in the background by all columns.

Prompts are written here, read from a file, or the held-out ones of the starter data. What was
answered is kept in the home folder (`studio.chat.prompt_answers`): neither a page that leaves nor
a stop loses anything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.chat.prompt_answers import AnsweredSet, new_answered_set
from studio.chat.prompt_set import PromptSet, read_prompts, written_prompts
from studio.errors import BusyError, DataError, Stopped
from studio.progress import Progress, ShouldStop, Step
from studio.recipe.base import STARTER
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels.chat_lineup_page import lineup_of
from studio.ui.panels.chat_prompts_view import DELETE, GO_ON, STOP
from studio.ui.panels.chat_sampling import sampling_of
from studio.ui.panels.dataset_sources import FILE_TYPES, keep_upload
from studio.ui.shared import PRIVATE, QUIET

if TYPE_CHECKING:
    from gradio.components import Component

    from studio.chat.abstract_session import Session
    from studio.recipe import Model
    from studio.ui.studio import Studio

WRITTEN_HERE, OF_FILE, HELD_OUT = "written", "file", "held_out"
SECONDS_BETWEEN_TRIES = 1.0
"""How often to look whether somebody else's answer is over."""


@dataclass(frozen=True)
class PromptsCard:
    """The components by the names under which handlers get them, and the button that asks."""

    inputs: dict[str, Component]
    ask: gr.Button


def build(studio: Studio) -> PromptsCard:
    """Lay out the card."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading(
            "Ask", "All columns above answer each prompt, with the same seed. Then you vote, "
            "without knowing who wrote what."))
        kind = gr.Radio(
            [("Write them here", WRITTEN_HERE), ("Take them from a file", OF_FILE),
             ("Starter data, held-out part", HELD_OUT)], value=WRITTEN_HERE, label="Prompts",
            elem_id="votes-kind")
        text = gr.Textbox(
            label="Your prompts", lines=3, max_lines=14, elem_id="votes-text",
            info="An empty line begins the next prompt.")
        with gr.Column(visible=False, elem_classes="stack") as file_part:
            source = gr.Textbox(
                label="File, folder, or Hugging Face id", max_lines=1, elem_id="votes-source",
                info="Whatever the Dataset tab reads; of a record with an answer the turns before "
                     "it are asked. A text file has a prompt in each paragraph.")
            upload = gr.UploadButton("Upload a file", size="sm", file_types=FILE_TYPES,
                                     elem_id="votes-upload", elem_classes="narrow")
        most = gr.Slider(1, 200, 10, step=1, precision=0, buttons=[], visible=False,
                         label="How many at most", elem_id="votes-most",
                         info="The first ones are taken.")
        ask = gr.Button("Let all columns answer", variant="primary", elem_id="votes-ask")

    def show(kind: str) -> list[Any]:
        return [gr.Textbox(visible=kind == WRITTEN_HERE), gr.Column(visible=kind == OF_FILE),
                gr.Slider(visible=kind != WRITTEN_HERE)]

    kind.change(show, kind, [text, file_part, most], **QUIET)
    upload.upload(guarded(lambda uploaded: str(keep_upload(Path(uploaded), studio.settings))),
                  upload, source, **PRIVATE)
    return PromptsCard({"kind": kind, "text": text, "source": source, "most": most}, ask)


def ask_all(studio: Studio, values: dict[str, Any]) -> AnsweredSet:
    """Make a set of the prompts that are chosen and begin to answer it. Raises StudioError."""
    _require_idle(studio)
    model, columns = lineup_of(studio, values)
    prompts = _prompts(studio, values)
    made = new_answered_set(
        studio.settings, prompts, model, columns, sampling_of(values),
        system=values["system"] or "", name=_name(values["kind"], prompts))
    begin(studio, made, model)
    faulty = [one for one in prompts.problems if one.kind != "not_read"]
    if faulty:
        gr.Warning(escape(f"Records that gave no prompt: {len(faulty):,}. The first reason: "
                          f"{faulty[0]}"))
    return made


def begin(studio: Studio, asked: AnsweredSet, model: Model) -> None:
    """Answer what is pending of a set, in the background. `model` is its base with the person's
    consent to code of its own, which a set does not keep. Raises BusyError."""

    def work(progress: Progress, stop: ShouldStop) -> str:
        _answer(studio, asked, model, progress, stop)
        return asked.name

    studio.answering.start(f"Answering {asked.name}", work)


def act(studio: Studio, name: str | None, what: str, values: dict[str, Any]) -> None:
    """Stop the answering, go on with the set of this name, or delete it. Raises StudioError."""
    if what == STOP:
        studio.answering.stop()
    elif what == GO_ON:
        asked = studio.prompt_sets.get(name or "")
        begin(studio, asked, _consented(asked, values))
    elif what == DELETE:
        _require_idle(studio)
        studio.prompt_sets.delete(name or "")


def _require_idle(studio: Studio) -> None:
    if studio.answering.snapshot().is_active:
        raise BusyError("A prompt set is being answered.",
                        "Wait until it is done, or stop it; it keeps what it has.")


def _consented(asked: AnsweredSet, values: dict[str, Any]) -> Model:
    """The base of a set, with the form's consent to code of its own if it names the same base."""
    model = asked.asked.model
    agrees = (values.get("model.source") == model.source
              and bool(values.get("model.trust_remote_code")))
    return model.model_copy(update={"trust_remote_code": agrees})


def _answer(studio: Studio, asked: AnsweredSet, model: Model, progress: Progress,
            stop: ShouldStop) -> None:
    """Where somebody else is being answered meanwhile, go on after them."""
    while True:
        session = _opened(studio, asked, model, progress)
        try:
            if session is not None:
                if asked.answer(session, progress=progress, stop=stop):
                    return
                raise Stopped("The answering was stopped.")
        except BusyError:
            pass  # somebody asked something between two batches
        if stop():
            raise Stopped("The answering was stopped.")
        progress(Step("Waiting until the chat is free"))
        time.sleep(SECONDS_BETWEEN_TRIES)


def _opened(studio: Studio, asked: AnsweredSet, model: Model,
            progress: Progress) -> Session | None:
    """None while somebody else is being answered. Raises BusyError where a training run or the
    like has the device, which takes longer than one should wait unasked."""
    try:
        return studio.chat.open(model, list(asked.asked.columns), progress=progress)
    except BusyError:
        if not studio.chat.has_device:
            raise
        return None


def _prompts(studio: Studio, values: dict[str, Any]) -> PromptSet:
    if values["kind"] == WRITTEN_HERE:
        return written_prompts(values["text"] or "")
    if values["kind"] == HELD_OUT:
        return read_prompts(STARTER, studio.settings, most=int(values["most"]))
    source = (values["source"] or "").strip()
    if not source:
        raise DataError("No file is chosen.", "Upload one, or write where it lies.")
    return read_prompts(source, studio.settings, most=int(values["most"]))


def _name(kind: str, prompts: PromptSet) -> str:
    """What the set is called; a file's own name where this is empty."""
    if kind == HELD_OUT:
        return "starter-held-out"
    return str(prompts.prompts[0][-1]["content"])[:40] if kind == WRITTEN_HERE else ""
