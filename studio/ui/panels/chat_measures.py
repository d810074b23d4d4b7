"""Has the last answers of a conversation measured by the models that gave them. Knows no component.

How likely each answer was to its column, and how far that is from the base; the words and colours
for it are in `chat_answer_view.py` and `chat_marks.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from studio.chat.conversation import Answer, Conversation
from studio.errors import DataError
from studio.progress import Step, never
from studio.ui.panels.chat_answering import opened

if TYPE_CHECKING:
    from studio.chat.abstract_session import Session
    from studio.chat.desk import ChatDesk
    from studio.ui.panels.chat_answering import Question


def measured(desk: ChatDesk, question: Question, talk: Conversation) -> Iterator[Conversation]:
    """The conversation while the model is loaded if need be, then with the scores of the answers
    that the chosen columns gave to the last prompt. Raises StudioError where there are none."""
    names = _measurable(question, talk)
    found: Step | Session = Step("Loading the model")
    histories = {name: talk.history(name, question.system) for name in names}
    for found in opened(desk, question, histories, never):
        if isinstance(found, Step):
            yield replace(talk, loading=found)
    assert not isinstance(found, Step)
    answers = talk.exchanges[-1].answers
    scores = found.scores(
        histories, {name: _token_ids(found, name, answers[name]) for name in names})
    yield talk.with_last({name: replace(answers[name], score=scores[name]) for name in names})


def _measurable(question: Question, talk: Conversation) -> list[str]:
    answers = talk.exchanges[-1].answers if talk.exchanges else {}
    names = [name for name in question.names if name in answers and answers[name].text]
    if not names:
        raise DataError("There is no answer to measure: none of the columns chosen above has "
                        "answered the last prompt.", "Ask something first, or press Regenerate.")
    return names


def _token_ids(session: Session, name: str, answer: Answer) -> list[int]:
    """As they were drawn; of an answer of an earlier day, how the tokenizer splits its text."""
    turn = session.turns.get(name)
    if turn is not None and turn.text == answer.text:
        return list(turn.token_ids)
    return session.tokens(answer.text)
