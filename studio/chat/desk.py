"""The one chat of the program: at most one session in memory, shared by all pages.

Holds the device through the arbiter while a model is loaded, and leaves politely when training
or an export asks and nobody is being answered.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

from studio.arbiter import Arbiter, Holder
from studio.chat.exclusive import only_one
from studio.chat.prompt import Message
from studio.chat.sampling import Sampling
from studio.chat.session import ChatSession, Column
from studio.chat.turn import Turn
from studio.errors import BusyError, StudioError
from studio.progress import Progress, ShouldStop, never, silent
from studio.recipe import Model
from studio.settings import Settings


class ChatDesk:
    """Opens, reuses, and closes the session. Every method may be called from any thread."""

    def __init__(self, settings: Settings, arbiter: Arbiter) -> None:
        self._settings = settings
        self._arbiter = arbiter
        self._changing = threading.Lock()
        self._session: ChatSession | None = None
        self._holder = Holder("The chat", "Stop the answer on the Chat tab, or unload the model.",
                              self._leave)

    @property
    def session(self) -> ChatSession | None:
        """The loaded session, if there is one."""
        return self._session

    @property
    def is_answering(self) -> bool:
        """Whether somebody is being answered."""
        return self._session is not None and self._session.is_answering

    @property
    def turns(self) -> dict[str, Turn]:
        """The latest answers with their timings, by column."""
        return {} if self._session is None else self._session.turns

    def open(self, model: Model, columns: list[Column], *,
             progress: Progress = silent) -> ChatSession:
        """The session with these columns. A loaded base is reused; only adapters come and go.

        Raises BusyError while training, an export, or another answer is under way, and ModelError
        for a base or an adapter that cannot be loaded.
        """
        with self._alone():
            self._arbiter.acquire(self._holder)
            session = self._session
            if session is not None and session.model == model and not session.is_broken:
                if session.columns != columns:
                    session.show(columns, progress=progress)
                return session
            self._close_session()
            try:
                self._session = ChatSession(model, columns, self._settings, progress=progress)
            except StudioError:
                self._arbiter.release(self._holder)
                raise
            return self._session

    def answer(self, model: Model, columns: list[Column], histories: dict[str, list[Message]],
               sampling: Sampling, stop: ShouldStop = never, *,
               progress: Progress = silent) -> Iterator[dict[str, str]]:
        """Open if need be, then stream the answers: text so far by column."""
        session = self.open(model, columns, progress=progress)
        yield from session.answer(histories, sampling, stop)

    def close(self) -> None:
        """Unload the model and give the device back. BusyError while somebody is answered."""
        with self._alone():
            self._close_session()
            self._arbiter.release(self._holder)

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _leave(self) -> bool:
        """The arbiter asks. Never waits, since the asker holds the arbiter meanwhile."""
        if self.is_answering or not self._changing.acquire(blocking=False):
            return False
        try:
            self._close_session()
        except BusyError:
            return False
        finally:
            self._changing.release()
        return True

    def _alone(self) -> AbstractContextManager[None]:
        return only_one(self._changing, "The chat is loading a model right now.",
                        "Wait a moment and send it again.")
