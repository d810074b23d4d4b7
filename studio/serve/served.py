"""The models of an endpoint by name, and what a request to one of them becomes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.adapters.folder import read_adapter_folder
from studio.chat.prompt import prompt_ids, room_in_context
from studio.errors import ModelError
from studio.serve.errors import ApiError, no_model
from studio.serve.requests import TEXT_ANSWER_TOKENS, ChatRequest, TextRequest
from studio.serve.row import Question

if TYPE_CHECKING:
    from studio.chat.reader import Reader
    from studio.chat.session import ChatSession, Column

ROOMLESS_ANSWER_TOKENS = 4096
"""The longest answer of a model that names no limit, unless a request says otherwise."""


@dataclass(frozen=True)
class _Served:
    column: Column
    is_alone: bool = False
    virtual_tokens: int = 0


class ServedModels:
    """Reads the adapters' folders at once: ModelError for one that is missing or unsafe.

    With `in_turn` none of them shares a batch with another, whatever its kind.
    """

    def __init__(self, columns: list[Column], *, in_turn: bool = False) -> None:
        self._by_name = {column.name: _served(column, in_turn) for column in columns}
        if not columns or len(self._by_name) < len(columns):
            names = ", ".join(column.name for column in columns) or "none"
            raise ModelError(f"The models to serve are called {names}, but each needs a name of "
                             "its own, and there must be one.", "Choose them again.")
        self._reading = threading.Lock()
        self._session: ChatSession | None = None
        self._readers: dict[str, Reader] = {}

    @property
    def names(self) -> list[str]:
        """In the order given."""
        return list(self._by_name)

    def chat_question(self, asked: ChatRequest, session: ChatSession) -> Question:
        """Raises ApiError for an unknown model and for a conversation that it cannot answer."""
        served = self._find(asked.model)
        reader = self._reader(served, session)
        ids = prompt_ids(asked.history, reader.tokenizer, asked.model)
        limit = _limit(served, reader, len(ids), asked.answer_tokens)
        return Question(served.column, ids, asked.sampling(limit), asked.alternatives,
                        reader.tokenizer, reader.end_ids, served.is_alone)

    def text_questions(self, asked: TextRequest, session: ChatSession) -> list[Question]:
        """One for each prompt, read as it is: control tokens in it are control tokens."""
        served = self._find(asked.model)
        reader = self._reader(served, session)
        prompts = [one if isinstance(one, list) else list(reader.tokenizer.encode(one))
                   for one in asked.prompts]
        vocabulary = len(reader.tokenizer)
        for ids in prompts or [[]]:
            if not ids or not all(0 <= one < vocabulary for one in ids):
                raise ApiError("The prompt is empty, or has a token id that the model does not "
                               f"know (0 to {vocabulary - 1}).", param="prompt")
        wanted = asked.max_tokens or TEXT_ANSWER_TOKENS
        return [Question(served.column, ids,
                         asked.sampling(_limit(served, reader, len(ids), wanted)), asked.logprobs,
                         reader.tokenizer, reader.end_ids, served.is_alone)
                for ids in prompts]

    def require(self, name: str) -> None:
        """Raise ApiError if there is no model of that name."""
        self._find(name)

    def _find(self, name: str) -> _Served:
        if name not in self._by_name:
            raise no_model(name, self.names)
        return self._by_name[name]

    def _reader(self, served: _Served, session: ChatSession) -> Reader:
        with self._reading:
            if session is not self._session:
                self._session, self._readers = session, {}
            name = served.column.name
            if name not in self._readers:
                self._readers[name] = session.reader(served.column.adapter_path)
            return self._readers[name]


def _served(column: Column, in_turn: bool) -> _Served:
    if column.adapter_path is None:
        return _Served(column, in_turn)
    folder = read_adapter_folder(column.adapter_path)
    return _Served(column, in_turn or not folder.shares_a_batch, folder.virtual_tokens)


def _limit(served: _Served, reader: Reader, prompt_tokens: int, wanted: int | None) -> int:
    """The longest answer in tokens: as asked, as far as the context has room."""
    context = reader.context_tokens
    if context is not None:
        context -= served.virtual_tokens
    try:
        room = room_in_context(prompt_tokens, context, served.column.name)
    except ModelError as error:
        raise ApiError(error.message, error.hint, param="messages",
                       code="context_length_exceeded") from error
    if room is None:
        return wanted or ROOMLESS_ANSWER_TOKENS
    return min(wanted or room, room)
