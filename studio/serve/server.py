"""The endpoint as an object that can be switched on and off, beside the page or without it.

An engine of our own over the chat, and not Transformers' `serve`: that one (5.23) knows no PEFT
adapters as models, refuses `logprobs`, `n` and `stream_options`, seeds all requests through one
global generator, and loads a second copy of the base beside the chat's. Here the base is in
memory once, for the page and for every client, and requests to different adapters are one batch.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from studio.chat.session import ChatSession, Column
from studio.models.quantized import mixes_rows
from studio.progress import Progress, ShouldStop
from studio.serve.engine import Engine
from studio.serve.listener import Endpoint
from studio.serve.served import ServedModels
from studio.settings import DEFAULT_API_PORT

if TYPE_CHECKING:
    from studio.chat.desk import ChatDesk
    from studio.recipe import Model


class ApiServer(Endpoint):
    """Serves `columns` of `model` on this PC under /v1, each column's name a model's name.

    Uses what the desk has loaded, or opens it at the first request, so that a training can have
    the device while nobody asks. Nothing is loaded before. Raises ModelError for an adapter that
    is missing or unsafe.
    """

    def __init__(self, desk: ChatDesk, model: Model, columns: list[Column], *, key: str = "",
                 port: int = DEFAULT_API_PORT) -> None:
        super().__init__(key, port)
        self._desk = desk
        self._model = model
        self._columns = list(columns)
        self._models = ServedModels(columns, in_turn=mixes_rows(model))
        self._engine: Engine | None = None

    @property
    def model_names(self) -> list[str]:
        """What a request may name as its model."""
        return self._models.names

    def close(self) -> None:
        """End answers under way, and answer no more. The model stays loaded for the chat."""
        if self._engine is not None:
            self._engine.close()  # first, so that who waits is told and not cut off
        super().close()

    def _app(self, opened: ExitStack, progress: Progress, stop: ShouldStop) -> Any:
        from studio.serve.app import build_api

        self._engine = Engine(self._session)
        opened.callback(self._engine.close)
        return build_api(self._engine, self._models, self._key)

    def _session(self) -> ChatSession:
        """Whatever columns the page shows: the endpoint brings its own."""
        session = self._desk.loaded(self._model) or self._desk.open(self._model, self._columns)
        assert isinstance(session, ChatSession), "a GGUF file is served by llama.cpp's own server"
        return session
