"""One prompt to its answers, as a stream of conversations to show. Knows no component.

Loading and computing happen on threads of the chat desk and of `opened`, so that the page that
looks on may leave at any moment: leaving stops the answer and keeps the model. Pages share the
model but not the Stop button: each stops what it asked itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from studio.chat.conversation import Answer, Conversation
from studio.chat.need import foretold_tokens
from studio.errors import BusyError, Stopped, StudioError
from studio.progress import ShouldStop, Step

if TYPE_CHECKING:
    from studio.chat.abstract_session import Session
    from studio.chat.desk import ChatDesk
    from studio.chat.prompt import Message
    from studio.chat.sampling import Sampling
    from studio.chat.session import Column
    from studio.chat.turn import Turn
    from studio.recipe import Model

SECONDS_BETWEEN_UPDATES = 0.1
MAKING_ROOM = Step("Another program is being answered; it makes room")


@dataclass(frozen=True)
class Question:
    """What to ask, of whom, and how."""

    prompt: str
    system: str
    model: Model
    columns: list[Column]
    sampling: Sampling

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]


@dataclass
class _Asking:
    """A page that waits for its answers. `session` is set while they are written."""

    stop: threading.Event = field(default_factory=threading.Event)
    session: Session | None = None


class Answering:
    """Answers one question of a page at a time; a page is told by a text of its own."""

    def __init__(self, desk: ChatDesk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._asking: dict[str, _Asking] = {}

    def is_asking(self, page: str) -> bool:
        """Whether that page waits for answers."""
        return page in self._asking

    def stop(self, page: str) -> None:
        """End the answers of that page soon and keep what was written."""
        asking = self._asking.get(page)
        if asking is not None:
            asking.stop.set()

    def stop_column(self, page: str, name: str) -> None:
        """End the answer of one column; the others go on."""
        asking = self._asking.get(page)
        if asking is not None and asking.session is not None:
            asking.session.stop_column(name)

    def ask(self, page: str, question: Question, asked: Conversation,
            before: Conversation) -> Generator[Conversation, None, None]:
        """`asked`, whose last prompt is `question`, as it grows.

        A StudioError becomes its last words, or those of `before` if nothing was written.
        """
        with self._alone(page) as asking:
            yield asked
            latest = asked
            try:
                # Closed by name, so that nothing is computed any more when this page is forgotten.
                with closing(self._answer(asking, question, asked)) as steps:
                    for latest in steps:
                        yield latest
            except StudioError as error:
                is_begun = latest.exchanges[-1].is_answered
                yield (latest if is_begun else before).with_last(error=(error.message, error.hint))

    @contextmanager
    def _alone(self, page: str) -> Iterator[_Asking]:
        asking = _Asking()
        with self._lock:
            if page in self._asking:
                raise BusyError("This page is being answered already.",
                                "Wait until the answers are complete, or stop them.")
            self._asking[page] = asking
        try:
            yield asking
        finally:
            del self._asking[page]

    def _answer(self, asking: _Asking, question: Question, asked: Conversation
                ) -> Generator[Conversation, None, None]:
        histories = {name: asked.history(name, question.system) for name in question.names}
        found: Step | Session = Step("Loading the model")
        for found in opened(self._desk, question, histories, asking.stop.is_set):
            if isinstance(found, Step):
                yield replace(asked, loading=found)
        assert not isinstance(found, Step)
        asking.session = session = found
        if session.makes_room:
            yield replace(asked, loading=MAKING_ROOM)
        shown_at = 0.0
        for _ in self._desk.ask(session, histories, question.sampling, asking.stop.is_set):
            if time.monotonic() - shown_at >= SECONDS_BETWEEN_UPDATES:
                shown_at = time.monotonic()
                yield asked.with_last(_answers(question, session.turns))
        yield asked.with_last(_answers(question, session.turns))


def opened(desk: ChatDesk, question: Question, histories: dict[str, list[Message]],
           stop: ShouldStop) -> Iterator[Step | Session]:
    """Steps while the model is loaded for these conversations by column, then the session. Raises
    what opening raises, and Stopped; the model is loaded nevertheless, for the next prompt."""
    latest = [Step("Loading the model")]
    executor = ThreadPoolExecutor(1, thread_name_prefix="chat-loading")

    def keep(step: Step) -> None:
        latest[0] = step

    try:
        future = executor.submit(
            desk.open, question.model, question.columns, progress=keep,
            tokens=foretold_tokens(histories, question.sampling))
        while not wait([future], timeout=0.3).done:
            if stop():
                raise Stopped("Stopped before anything was written.",
                              "The model is still being loaded, for the next prompt.")
            yield latest[0]
        yield future.result()
    finally:
        # A page that leaves while the model is loaded does not wait for it.
        executor.shutdown(wait=False)


def _answers(question: Question, turns: dict[str, Turn]) -> dict[str, Answer]:
    found = {}
    for name in question.names:
        turn = turns.get(name)
        found[name] = Answer() if turn is None else Answer.of(turn, question.sampling.seed)
    return found
