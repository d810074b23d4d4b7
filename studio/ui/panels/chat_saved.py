"""The saved conversations: a list to go on with one, to rename, and to delete.

Layout, wiring and handlers. Saving happens by itself in `chat_turns.py`; making training data of
conversations is in `chat_teaching.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.chat.saved import (
    LONGEST_TITLE,
    SavedConversation,
    delete_conversation,
    list_conversations,
    open_conversation,
    rename_conversation,
)
from studio.errors import BusyError
from studio.ui.guard import guarded
from studio.ui.panels import chat_turns
from studio.ui.panels.chat_saved_view import LIST_SCRIPT, list_view, question_view
from studio.ui.question import Question, build_question
from studio.ui.seen import seen_by_page, stamp
from studio.ui.shared import QUIET, Shared
from studio.ui.shelf import changed

if TYPE_CHECKING:
    from gradio.components import Component

    from studio.ui.panels.chat_answering import Answering
    from studio.ui.panels.chat_talk import TalkPart
    from studio.ui.studio import Studio


@dataclass(frozen=True)
class SavedPart:
    """The list and what asks about one of its rows."""

    rows: gr.HTML
    seen: gr.JSON
    about: gr.State
    """The name of the conversation that is being renamed or deleted."""
    naming: gr.Row
    title: gr.Textbox
    rename: gr.Button
    keep_name: gr.Button
    question: Question

    @property
    def asking(self) -> list[Any]:
        """Outputs of what begins and ends a question about a row."""
        return [self.about, self.naming, self.title, self.question.row, self.question.text]


def build(studio: Studio, shared: Shared) -> SavedPart:
    """Lay out the fold with the list."""
    with (gr.Group(elem_classes="card"),
          gr.Accordion("Saved conversations", open=False, elem_id="chat-saved"),
          gr.Column(elem_classes="stack")):
        with gr.Row(visible=False, elem_classes="chat-tools") as naming:
            title = gr.Textbox(label="Title", max_lines=1, max_length=LONGEST_TITLE, scale=3,
                               elem_id="chat-saved-title", info="Empty: the first prompt.")
            rename = gr.Button("Rename", size="sm", scale=0, min_width=100,
                               elem_id="chat-rename-yes")
            keep_name = gr.Button("Leave it", size="sm", scale=0, min_width=100)
        question = build_question("chat-delete-yes")
        rows = gr.HTML(list_view(()), elem_id="chat-saved-list", padding=False,
                       js_on_load=LIST_SCRIPT)
    return SavedPart(rows, seen_by_page(), gr.State(""), naming, title, rename, keep_name, question)


def wire(studio: Studio, shared: Shared, saved: SavedPart, talk: TalkPart, answering: Answering,
         asked: list[Any], form: dict[str, Component]) -> None:
    """`asked` are the events that answer a page, `form` is what they read."""
    outputs = [*talk.outputs, *saved.asking]

    def refresh(talk: SavedConversation, seen: Any) -> Any:
        return rows_view(studio, talk.name, seen)

    def clicked(event: gr.EventData, request: gr.Request, **values: Any) -> list[Any]:
        what, name = str(event.what), str(event.name)
        kept = open_conversation(studio.settings, name) if what != "delete" else None
        if kept is None:
            return [*talk.updates({}), *_deleting(studio, name)]
        if what == "rename":
            return [*talk.updates({}), *_naming(kept)]
        require_idle(answering, str(request.session_hash))
        return [*talk.updates(chat_turns.talk_view(kept, values)), *not_asking()]

    def rename(talk_now: SavedConversation, about: str, title: str, request: gr.Request
               ) -> list[Any]:
        is_open = talk_now.name == about
        require_idle(answering, str(request.session_hash), is_concerned=is_open)
        renamed = rename_conversation(studio.settings, about, title)
        now = replace(talk_now, title=renamed.title)
        shown = {"talk": now, "title": chat_turns.title_view(now)} if is_open else {}
        return [*talk.updates(shown), *not_asking()]

    def delete(about: str, request: gr.Request, **values: Any) -> list[Any]:
        is_open = values["talk"].name == about
        require_idle(answering, str(request.session_hash), is_concerned=is_open)
        delete_conversation(studio.settings, about)
        shown = chat_turns.talk_view(chat_turns.BLANK, values) if is_open else {}
        shown.pop("system", None)
        return [*talk.updates(shown), *not_asking()]

    look = {"fn": refresh, "inputs": [talk["talk"], saved.seen],
            "outputs": [saved.rows, saved.seen], **QUIET}
    shared.ticks.add(refresh, [talk["talk"], saved.seen], [saved.rows, saved.seen])
    shared.demo.load(**look)
    for event in (
        saved.rows.click(guarded(clicked), inputs_kwargs=form, outputs=outputs, **QUIET),
        saved.rename.click(guarded(rename), [talk["talk"], saved.about, saved.title], outputs,
                           **QUIET),
        saved.question.delete.click(guarded(delete), inputs_kwargs={"about": saved.about, **form},
                                    outputs=outputs, **QUIET),
        *asked,
    ):
        event.then(**look)
    for button in (saved.keep_name, saved.question.keep):
        button.click(not_asking, None, saved.asking, **QUIET)


def require_idle(answering: Answering, page: str, *, is_concerned: bool = True) -> None:
    """Raise BusyError while the page is being answered, if its conversation is concerned: what is
    written next would come back, to the screen and to the disk, over what the person wants."""
    if is_concerned and answering.is_asking(page):
        raise BusyError("The conversation on this page is being answered right now.",
                        "Wait until the answers are complete, or stop them.")


def rows_view(studio: Studio, open_name: str, seen: Any) -> Any:
    """Updates of the list and of what was seen; nothing while the folder is as it was."""
    # Every file comes and goes by a new name in the folder, so its time tells all.
    key = {"saved": stamp((changed(studio.settings.conversations), open_name))}
    if key == seen:
        return gr.skip()
    return [list_view(list_conversations(studio.settings), open_name), key]


def not_asking() -> list[Any]:
    """No row is being asked about."""
    return ["", gr.Row(visible=False), "", gr.Row(visible=False), ""]


def _naming(kept: SavedConversation) -> list[Any]:
    return [kept.name, gr.Row(visible=True), kept.title, gr.Row(visible=False), ""]


def _deleting(studio: Studio, name: str) -> list[Any]:
    titles = {row.name: row.title for row in list_conversations(studio.settings)}
    return [name, gr.Row(visible=False), "", gr.Row(visible=True),
            question_view(titles.get(name, name))]
