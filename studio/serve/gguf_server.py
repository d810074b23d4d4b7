"""An endpoint over a GGUF file, answered by llama.cpp's own server in a process beside this one.

Adapters are loaded over the file once, and each column of the chat is a model by its name. Those
over Transformers weights are served by `server.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.chat.abstract_session import require_names
from studio.chat.gguf_adapters import as_gguf_adapters, strengths_of
from studio.chat.session import BASE_COLUMN, Column
from studio.models.gguf_file import checked_gguf
from studio.models.llama_server import CONTEXT_TOKENS, LlamaServer
from studio.progress import Progress, ShouldStop, Step
from studio.serve.listener import Endpoint
from studio.settings import DEFAULT_API_PORT, Settings

ROWS_AT_ONCE = 4


class GgufServer(Endpoint):
    """Serves `columns` over one GGUF file: each adapter under its column's name, the file itself
    under its own. Raises ModelError for a file that is none, and for two columns of one name."""

    def __init__(self, gguf: Path, settings: Settings,
                 columns: Sequence[Column] = (Column(BASE_COLUMN),), *, key: str = "",
                 port: int = DEFAULT_API_PORT, context_tokens: int = CONTEXT_TOKENS) -> None:
        super().__init__(key, port)
        self._gguf = checked_gguf(gguf)
        self._settings = settings
        self._columns = [column if column.adapter_path else replace(column, name=self._gguf.stem)
                         for column in columns]
        require_names(self._columns)
        self._context_tokens = context_tokens

    @property
    def model_names(self) -> list[str]:
        """What a request may name as its model."""
        return [column.name for column in self._columns]

    def _app(self, opened: ExitStack, progress: Progress, stop: ShouldStop) -> Any:
        """Loads the files into a process that is gone with `opened`. ModelError if llama.cpp
        cannot read them, or if an adapter does not fit."""
        from studio.serve.gguf_app import build_gguf_api

        adapters = as_gguf_adapters(self._columns, self._gguf, self._settings, progress=progress)
        files = list(dict.fromkeys(adapters.values()))
        progress(Step(f"Loading {self._gguf.name} into llama.cpp"))
        llama = opened.enter_context(LlamaServer(
            self._gguf, files, rows_at_once=ROWS_AT_ONCE, context_tokens=self._context_tokens,
            stop=stop))
        models = {column.name: strengths_of(column, adapters, files) for column in self._columns}
        return build_gguf_api(f"{llama.url}/v1", llama.key, models, self._key)
