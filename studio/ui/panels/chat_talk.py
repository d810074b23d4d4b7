"""The Talk part of the Chat tab: a conversation, answered by all columns side by side.

Layout and wiring. What happens to the conversation is in `chat_turns.py`, the stream of answers in
`chat_answering.py`, how they look in `chat_board.py`, the list of earlier ones in `chat_saved.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from studio.chat.conversation import Conversation
from studio.ui.guard import guarded
from studio.ui.panels import chat_saved, chat_teaching, chat_turns
from studio.ui.panels.chat_answering import Answering, Question
from studio.ui.panels.chat_board import BOARD_SCRIPT, TEMPLATE, board_view
from studio.ui.panels.chat_lineup import Lineup
from studio.ui.panels.chat_lineup_page import lineup_of
from studio.ui.panels.chat_marks import MARKS, PLAIN
from studio.ui.panels.chat_sampling import SamplingPart, sampling_of
from studio.ui.panels.chat_turns import BLANK, Updates
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio


@dataclass(frozen=True)
class TalkPart:
    """The components by the names under which `chat_turns.py` gives their updates."""

    parts: dict[str, Component]

    def __getitem__(self, name: str) -> Any:
        return self.parts[name]

    @property
    def outputs(self) -> list[Component]:
        """All of them, in the order of `updates`."""
        return list(self.parts.values())

    def updates(self, by_name: Updates) -> list[Any]:
        """One update for each of `outputs`."""
        return [by_name.get(name, gr.skip()) for name in self.parts]


def build(studio: Studio, shared: Shared, lineup: Lineup, sampling: SamplingPart) -> None:
    """Lay out the part and wire it."""
    with gr.Group(elem_classes="card"):
        part = TalkPart({**_build_talk(), "system": sampling.inputs["system"]})
    saved = chat_saved.build(studio, shared)
    shared.when_complete(lambda: _wire(studio, shared, part, saved, {
        **sampling.inputs, **lineup.inputs(shared)}))


def _build_talk() -> dict[str, Any]:
    title = gr.HTML(chat_turns.title_view(BLANK), elem_id="chat-title", padding=False)
    board = gr.HTML(board_view(Conversation()), html_template=TEMPLATE, elem_id="chat-board",
                    js_on_load=BOARD_SCRIPT)
    with gr.Row(visible=False, elem_classes="run-confirm", elem_id="chat-editing") as edit_row:
        edit_words = gr.HTML(padding=False)
        keep = gr.Button("Leave it as it was", size="sm", scale=0, min_width=150,
                         elem_id="chat-edit-no")
    prompt = gr.Textbox(
        label="Prompt", lines=1, max_lines=10, elem_id="chat-prompt", autofocus=False,
        placeholder="Write here. Enter sends, Shift + Enter begins a new line.",
    )
    context = gr.HTML(elem_id="chat-context", padding=False)
    with gr.Row(elem_classes="chat-buttons"):
        send = gr.Button("Send", variant="primary", scale=2, min_width=90, elem_id="chat-send")
        stop = gr.Button("Stop", variant="stop", min_width=70, interactive=False,
                         elem_id="chat-stop")
        again = gr.Button("Regenerate", min_width=110, interactive=False, elem_id="chat-again")
        clear = gr.Button("New conversation", min_width=150, elem_id="chat-new")
        example = gr.Button("Starter example", min_width=130, elem_id="chat-example")
    with gr.Row(elem_classes="chat-tools"):
        marks = gr.Radio(MARKS, value=PLAIN, label="Mark in the answers", scale=3,
                         elem_id="chat-marks", min_width=330)
        measure = gr.Button("Measure the last answers", size="sm", scale=0, min_width=190,
                            interactive=False, elem_id="chat-measure")
    with gr.Row(visible=False, elem_classes="chat-tools") as teach_row:
        teach_column = gr.Dropdown([], label="Teach the answers of", elem_id="chat-teach-column",
                                   min_width=220)
        teach_all = gr.Checkbox(label="All saved conversations",
                                elem_id="chat-teach-all", min_width=200,
                                info="Not only the one above.")
        teach = gr.Button("Use as training data", size="sm", scale=0, min_width=170,
                          elem_id="chat-teach")
    return {
        "talk": gr.State(BLANK), "editing": gr.State(0), "title": title, "board": board,
        "edit_row": edit_row, "edit_words": edit_words, "keep": keep, "prompt": prompt,
        "context": context, "send": send, "stop": stop, "again": again, "clear": clear,
        "example": example, "marks": marks, "measure": measure, "teach_row": teach_row,
        "teach_column": teach_column, "teach_all": teach_all, "teach": teach}


def _wire(studio: Studio, shared: Shared, part: TalkPart, saved: chat_saved.SavedPart,
          fields: dict[str, Component]) -> None:
    """`fields` are those of line-up and sampling."""
    answering = Answering(studio.chat)
    names = ("talk", "editing", "prompt", "marks")
    form = {**{name: part[name] for name in names}, **fields}
    options = {"inputs_kwargs": form, "outputs": part.outputs, **QUIET}
    asked = _wire_asking(studio, part, answering, options)
    _wire_turns(studio, part, answering, options)

    def blank(request: gr.Request, **values: Any) -> list[Any]:
        answering.stop(str(request.session_hash))
        now = chat_turns.talk_view(BLANK, values)
        del now["system"]  # a person who begins anew goes on asking in the same manner
        return part.updates(now)

    part["clear"].click(guarded(blank), cancels=asked, **options)
    chat_saved.wire(studio, shared, saved, part, answering, asked, form)
    chat_teaching.wire(studio, shared, part)


def _wire_asking(studio: Studio, part: TalkPart, answering: Answering, options: dict[str, Any]
                 ) -> list[Any]:
    """Send, Enter, and Regenerate; gives the events that a page may break off."""

    def asking(turns: Callable[..., Iterator[Updates]]) -> Callable[..., Any]:
        def ask(request: gr.Request, **values: Any) -> Iterator[list[Any]]:
            page, question = str(request.session_hash), question_of(studio, values)
            for now in turns(studio, answering, page, question, values):
                yield part.updates(now)

        return guarded(ask)

    def over(request: gr.Request, talk: Any) -> list[Any]:
        if answering.is_asking(str(request.session_hash)):
            return part.updates({})
        return part.updates(chat_turns.buttons_view(
            is_over=True, is_begun=bool(talk.conversation.exchanges)))

    def stop(request: gr.Request) -> None:
        answering.stop(str(request.session_hash))

    asked = [gr.on([part["send"].click, part["prompt"].submit], asking(chat_turns.sent), **options),
             part["again"].click(asking(chat_turns.sent_again), **options)]
    for event in asked:
        # Runs after a failure too, so that the page is never left without a Send button.
        event.then(over, part["talk"], part.outputs, **QUIET)
    part["stop"].click(stop, None, None, **QUIET)
    return asked


def _wire_turns(studio: Studio, part: TalkPart, answering: Answering, options: dict[str, Any]
                ) -> None:
    """What is done to turns that are there."""

    def clicked(event: gr.EventData, request: gr.Request, **values: Any) -> list[Any]:
        what = str(event.what)
        if what == "stop":
            answering.stop_column(str(request.session_hash), str(event.column))
            return part.updates({})
        if what == "edit":
            return part.updates(chat_turns.editing(values["talk"], int(event.turn)))
        return part.updates(chat_turns.chosen(
            studio, values, int(event.turn), str(event.column), int(event.number)))

    def measure(**values: Any) -> Iterator[list[Any]]:
        for now in chat_turns.with_measures(studio, question_of(studio, values), values):
            yield part.updates(now)

    part["board"].click(guarded(clicked), trigger_mode="multiple", **options)
    part["measure"].click(guarded(measure), **options)
    part["keep"].click(lambda: part.updates({"prompt": "", **chat_turns.not_editing()}), None,
                       part.outputs, **QUIET)
    part["marks"].input(
        lambda talk, marks: board_view(talk.conversation, marks), [part["talk"], part["marks"]],
        part["board"], **QUIET)
    part["example"].click(starter_prompt, None, part["prompt"], **QUIET)


def question_of(studio: Studio, values: dict[str, Any]) -> Question:
    """What the tab asks. Raises StudioError for a choice that cannot be loaded."""
    model, columns = lineup_of(studio, values)
    return Question(values["prompt"] or "", values["system"] or "", model, columns,
                    sampling_of(values))


def starter_prompt() -> str:
    """One of the held-out prompts of the starter task, which no run has seen."""
    import json
    import random

    from studio.data.reading.sources import starter_files

    lines = starter_files()[1].read_text(encoding="utf-8").splitlines()
    return str(json.loads(random.choice(lines))["messages"][0]["content"])
