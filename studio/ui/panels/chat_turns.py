"""What a page does with its conversation: asks, asks again, edits, chooses, measures. Handlers.

Each gives updates by the name of a component of `chat_talk.py`. A conversation is saved by itself
after every answer, also after one that was cut short by a page that left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.chat.conversation import Conversation
from studio.chat.sampling import Sampling
from studio.chat.saved import SavedConversation, save_conversation, title_of
from studio.errors import DataError, StudioError
from studio.ui import markup
from studio.ui.guard import warn
from studio.ui.panels.chat_answering import Answering, Question
from studio.ui.panels.chat_board import board_view
from studio.ui.panels.chat_context_view import context_view
from studio.ui.panels.chat_marks import DISTANCE
from studio.ui.panels.chat_measures import measured

if TYPE_CHECKING:
    from studio.ui.studio import Studio

Updates = dict[str, Any]
Values = dict[str, Any]
"""What the page holds: the conversation (`talk`), the turn that is edited (`editing`, 0 for none),
and what is marked (`marks`)."""

BLANK = SavedConversation(Conversation())


def sent(studio: Studio, answering: Answering, page: str, question: Question, values: Values
         ) -> Iterator[Updates]:
    """The prompt in the box, as the next one or in the place of the one that is edited."""
    if not question.prompt.strip():
        raise DataError("The prompt is empty.", "Write something for the models to answer.")
    talk: SavedConversation = values["talk"]
    before, turn = talk.conversation, int(values["editing"])
    if turn:
        asked, kept = before.edited(turn, question.prompt, question.names), before
        talk = _named_anew(talk) if turn == 1 else talk
    else:
        asked = kept = before.asked(question.prompt, question.names)
    first: Updates = {"prompt": "", **not_editing()}
    now = talk
    for now, is_over in _answered(studio, answering, page, question, (talk, asked, kept)):
        yield {**_shown(now, values, is_over=is_over), **first}
        first = {}
    last = now.conversation.exchanges[-1]
    if last.error is not None and (turn or not last.is_answered):
        # Nobody types a prompt twice because somebody else was being answered.
        yield {**(editing(now, turn) if turn else {}), "prompt": question.prompt}


def sent_again(studio: Studio, answering: Answering, page: str, question: Question, values: Values
               ) -> Iterator[Updates]:
    """The last prompt once more with the next seed; earlier answers can be gone back to."""
    talk: SavedConversation = values["talk"]
    before = talk.conversation
    asked = before.again(question.names)
    if question.sampling.is_greedy:
        gr.Info("At temperature 0 the likeliest token is always taken, whatever the seed: raise "
                "the temperature for other answers.")
    elif before.latest_seed is not None:
        drawn = replace(question.sampling, seed=before.latest_seed).with_next_seed()
        question = replace(question, sampling=drawn)
    for now, is_over in _answered(studio, answering, page, question, (talk, asked, before)):
        yield _shown(now, values, is_over=is_over)


def chosen(studio: Studio, values: Values, turn: int, column: str, number: int) -> Updates:
    """Another of the answers that a column gave to a prompt."""
    talk: SavedConversation = values["talk"]
    now = talk.conversation.choose(turn, column, number)
    return _shown(saved(studio, replace(talk, conversation=now)), values, is_over=True)


def with_measures(studio: Studio, question: Question, values: Values) -> Iterator[Updates]:
    """The last answers, measured and coloured."""
    talk: SavedConversation = values["talk"]
    now = talk.conversation
    try:
        for now in measured(studio.chat, question, talk.conversation):
            yield {"board": board_view(now), **buttons_view(is_over=False, is_begun=True),
                   "stop": gr.skip()}
    except StudioError:
        yield _shown(talk, values, is_over=True)
        raise
    talk = saved(studio, replace(talk, conversation=now))
    yield {**_shown(talk, {**values, "marks": DISTANCE}, is_over=True), "marks": DISTANCE}


def editing(talk: SavedConversation, turn: int) -> Updates:
    """The prompt of `turn` comes into the box; what sending will do is said."""
    exchanges = talk.conversation.exchanges
    if not 1 <= turn <= len(exchanges):
        raise DataError(f"The conversation has no turn {turn}.", "Choose another turn.")
    behind = len(exchanges) - turn
    cut = {0: "its answers are", 1: "its answers and the turn after it are"}.get(
        behind, f"its answers and the {behind} turns after it are")
    words = f"Prompt {turn} is being edited. When it is sent, {cut} replaced."
    return {"prompt": exchanges[turn - 1].prompt, "editing": turn, "edit_row": gr.Row(visible=True),
            "edit_words": markup.note(words)}


def not_editing() -> Updates:
    """No prompt is being edited."""
    return {"editing": 0, "edit_row": gr.Row(visible=False)}


def talk_view(talk: SavedConversation, values: Values) -> Updates:
    """The whole of a conversation that nobody is answering: a new one, or one reopened."""
    return {**_shown(talk, values, is_over=True), **not_editing(), "system": talk.system}


def buttons_view(*, is_over: bool, is_begun: bool) -> Updates:
    """Those that can be pressed while answers are written, and those that can afterwards."""
    again = gr.Button(interactive=is_over and is_begun)
    return {"send": gr.Button(interactive=is_over), "stop": gr.Button(interactive=not is_over),
            "again": again, "measure": again}


def saved(studio: Studio, talk: SavedConversation) -> SavedConversation:
    """Under its name, once anything is answered. A disk that is full is told and loses nothing."""
    if not talk.conversation.answered().exchanges:
        return talk
    try:
        kept = save_conversation(studio.settings, talk)
    except StudioError as error:
        warn(error)
        return talk
    return replace(kept, conversation=talk.conversation)


def _answered(
    studio: Studio, answering: Answering, page: str, question: Question,
    talks: tuple[SavedConversation, Conversation, Conversation],
) -> Iterator[tuple[SavedConversation, bool]]:
    """The conversation as it grows, and whether that was all; then it is saved."""
    talk, asked, before = talks
    talk = replace(talk, system=question.system, model=question.model,
                   columns=tuple(question.columns), sampling=question.sampling)
    steps = answering.ask(page, question, asked, before)
    try:
        for now in steps:
            talk = replace(talk, conversation=now)
            yield talk, False
    except GeneratorExit:  # the page has left
        steps.close()  # ends the computation
        saved(studio, replace(talk, conversation=talk.conversation.stopped()))
        raise
    yield saved(studio, talk), True


def _shown(talk: SavedConversation, values: Values, *, is_over: bool) -> Updates:
    now = talk.conversation
    updates = {"board": board_view(now, values["marks"]), "talk": talk,
               **buttons_view(is_over=is_over, is_begun=bool(now.exchanges))}
    if is_over:
        columns = now.columns
        longest = (talk.sampling or Sampling()).max_new_tokens
        updates["context"] = context_view(now, longest)
        updates["title"] = title_view(talk)
        updates["teach_row"] = gr.Row(visible=bool(columns))
        updates["teach_column"] = gr.Dropdown(choices=columns, value=columns[-1] if columns
                                              else None)
    return updates


def title_view(talk: SavedConversation) -> str:
    """What the conversation is called."""
    return markup.heading(talk.title or "A new conversation",
                          "" if talk.title else "It is saved by itself after every answer.")


def _named_anew(talk: SavedConversation) -> SavedConversation:
    """Called by its first prompt, which is about to be another, unless a person named it."""
    first = talk.conversation.exchanges[0].prompt
    return replace(talk, title="") if talk.title == title_of(first) else talk
