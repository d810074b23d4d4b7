"""One prompt to its answers, as a stream of conversations to show. Knows no component.

Loading and computing happen on threads of the chat desk and of `_loading`, so that the page that
looks on may leave at any moment: leaving stops the answer and keeps the model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from studio.errors import StudioError
from studio.progress import Step
from studio.ui.panels.chat_board import Answer, Conversation

if TYPE_CHECKING:
    from studio.chat.desk import ChatDesk
    from studio.chat.sampling import Sampling
    from studio.chat.session import ChatSession, Column
    from studio.chat.turn import Turn
    from studio.recipe import Model

SECONDS_BETWEEN_UPDATES = 0.1


@dataclass(frozen=True)
class Question:
    """What to ask, of whom, and how."""

    prompt: str
    system: str
    model: Model
    columns: list[Column]
    sampling: Sampling


class Answering:
    """Answers one question at a time; `stop` ends the present one and keeps what was written."""

    def __init__(self, desk: ChatDesk) -> None:
        self._desk = desk
        self._stop = threading.Event()

    def stop(self) -> None:
        """End the present answer soon."""
        self._stop.set()

    def ask(self, question: Question, before: Conversation) -> Iterator[Conversation]:
        """The conversation as it grows. A StudioError becomes its last words."""
        self._stop.clear()
        now = before.asked(question.prompt, [column.name for column in question.columns])
        yield now
        try:
            yield from self._answer(question, now)
        except StudioError as error:
            # Raised before the first token or after a failed computation: no answer is kept.
            yield now.with_last(error=(error.message, error.hint))

    def _answer(self, question: Question, now: Conversation) -> Iterator[Conversation]:
        session = None
        for found in _loading(self._desk, question):
            if isinstance(found, Step):
                yield replace(now, loading=found)
            else:
                session = found
        assert session is not None
        histories = {column.name: now.history(column.name, question.system)
                     for column in question.columns}
        shown_at = 0.0
        for _ in session.answer(histories, question.sampling, self._stop.is_set):
            if time.monotonic() - shown_at >= SECONDS_BETWEEN_UPDATES:
                shown_at = time.monotonic()
                yield now.with_last(_answers(question, session.turns))
        yield now.with_last(_answers(question, session.turns))


def _loading(desk: ChatDesk, question: Question) -> Iterator[Step | ChatSession]:
    """Steps while the model is loaded, then the session."""
    latest = [Step("Loading the model")]
    executor = ThreadPoolExecutor(1, thread_name_prefix="chat-loading")

    def keep(step: Step) -> None:
        latest[0] = step

    try:
        future = executor.submit(desk.open, question.model, question.columns, progress=keep)
        while not wait([future], timeout=0.3).done:
            yield latest[0]
        yield future.result()
    finally:
        # A page that leaves while the model is loaded does not wait for it.
        executor.shutdown(wait=False)


def _answers(question: Question, turns: dict[str, Turn]) -> dict[str, Answer]:
    found = {}
    for column in question.columns:
        turn = turns.get(column.name)
        found[column.name] = Answer() if turn is None else Answer(
            turn.text, turn.tokens, turn.tokens_per_second, turn.ending)
    return found
