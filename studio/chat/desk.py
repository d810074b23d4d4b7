"""The one chat of the program: at most one session in memory, shared by all pages.

Holds the device through the arbiter while a model is loaded, beside a training where both fit, and
leaves politely when training or an export asks and nobody is being answered.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from studio.arbiter import Arbiter, Holder, Together
from studio.chat.abstract_session import ANSWERING, LOADING, Session
from studio.chat.exclusive import only_one
from studio.chat.need import chat_need, counted_tokens, foretold_tokens
from studio.chat.opening import open_session
from studio.chat.out_of_memory import how_to_need_less
from studio.chat.prompt import Message
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.chat.turn import Turn
from studio.errors import BusyError, StudioError
from studio.hardware.chat_memory import CONVERSATION_TOKENS
from studio.models.gguf_file import is_gguf
from studio.progress import Progress, ShouldStop, never, silent
from studio.recipe import Model
from studio.settings import Settings


class ChatDesk:
    """Opens, reuses, and closes the session. Every method may be called from any thread."""

    def __init__(self, settings: Settings, arbiter: Arbiter) -> None:
        self._settings = settings
        self._arbiter = arbiter
        self._changing, self._taking = threading.Lock(), threading.Lock()
        self._session: Session | None = None
        self._tokens = 0
        """How long a conversation the device was taken for."""
        self._holder = Holder(
            "The chat", "Stop the answer on the Chat tab, switch its endpoint off, or unload the "
            "model.", self._leave)

    @property
    def session(self) -> Session | None:
        """The loaded session, if there is one."""
        return self._session

    def loaded(self, model: Model) -> Session | None:
        """The session if it is over this base and well, whatever its columns."""
        session = self._session
        fits = session is not None and session.model == model and not session.is_broken
        return session if fits else None

    @property
    def is_answering(self) -> bool:
        """Whether somebody is being answered."""
        return self._session is not None and self._session.is_answering

    @property
    def has_device(self) -> bool:
        """Whether the chat holds the device, alone or beside others."""
        return self._arbiter.holds(self._holder)

    @property
    def others(self) -> tuple[Holder, ...]:
        """Who else is at work on the device, such as a training."""
        return self._arbiter.others(self._holder)

    def beside_others(self, model: Model, columns: list[Column]) -> Together | None:
        """Whether a chat with these columns fits beside `others`, before anything is loaded; None
        where nobody else is at work, or where that cannot be told."""
        chat = Holder(self._holder.what, "", need=self._need_of(model, columns, 0))
        return self._arbiter.together([*self.others, chat]) if self.others else None

    @property
    def turns(self) -> dict[str, Turn]:
        """The latest answers with their timings, by column."""
        return {} if self._session is None else self._session.turns

    def open(self, model: Model, columns: list[Column], *, tokens: int = 0,
             progress: Progress = silent) -> Session:
        """The session with these columns, for conversations that grow to `tokens`, or to what is
        usual where that is more. A loaded base is reused; only adapters come and go.

        Raises BusyError while an export or another answer is under way, or a training that it does
        not fit beside, and ModelError for a base or an adapter that cannot be loaded.
        """
        with self._alone():
            session = self.loaded(model)
            if session is None or session.columns != columns or not self.has_device:
                self._take_device(model, columns, tokens)
            if session is not None:
                if session.columns != columns or session.is_outdated:
                    session.show(columns, progress=progress)
                return session
            self._close_session()
            try:
                self._session = open_session(model, columns, self._settings, progress=progress)
            except StudioError:
                self._arbiter.release(self._holder)
                raise
            return self._session

    def answer(self, model: Model, columns: list[Column], histories: dict[str, list[Message]],
               sampling: Sampling, stop: ShouldStop = never, *,
               progress: Progress = silent) -> Iterator[dict[str, str]]:
        """Open if need be, then stream the answers: text so far by column."""
        session = self.open(model, columns, tokens=foretold_tokens(histories, sampling),
                            progress=progress)
        yield from self.ask(session, histories, sampling, stop)

    def ask(self, session: Session, histories: dict[str, list[Message]], sampling: Sampling,
            stop: ShouldStop = never) -> Iterator[dict[str, str]]:
        """As `Session.answer`, of the one that `open` gave; BusyError, too, before anything is
        computed where conversation and answer would outgrow the room beside other work."""
        answer = session.answer(histories, sampling, stop)  # which says what is wrong with it
        if not is_gguf(session.model.source):  # llama.cpp takes its whole context at once
            tokens = counted_tokens(session.context_uses(histories), sampling)
            if self.has_device and tokens != self._tokens:
                self._take_device(session.model, session.columns, tokens,
                                  needs_more=tokens > max(self._tokens, CONVERSATION_TOKENS))
        return answer

    def close(self) -> None:
        """Unload the model and give the device back. BusyError while somebody is answered."""
        with self._alone():
            self._close_session()
            self._arbiter.release(self._holder)

    def _take_device(self, model: Model, columns: list[Column], tokens: int, *,
                     needs_more: bool = True) -> None:
        """Raises BusyError where it `needs_more`; what is loaded then stays as it is."""
        with self._taking:
            before = self._holder.need, self._holder.how_to_need_less
            self._holder.need = self._need_of(model, columns, tokens)
            self._holder.how_to_need_less = how_to_need_less(tokens)
            try:
                if needs_more:
                    self._arbiter.acquire(self._holder)
            except BusyError:
                self._holder.need, self._holder.how_to_need_less = before
                raise
            self._tokens = tokens

    def _need_of(self, model: Model, columns: list[Column],
                 tokens: int) -> Callable[[], int | None]:
        return functools.partial(chat_need, model, list(columns), self._settings, tokens)

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
        # Also held for the moment in which one finds that what is needed is loaded already.
        return only_one(self._changing, *(ANSWERING if self.is_answering else LOADING))
