"""An endpoint over a GGUF file, answered by llama.cpp's own server in a process beside this one.

For a model as it is: adapters are served by `server.py` over the Transformers weights.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from studio.models.gguf_file import checked_gguf
from studio.models.llama_server import CONTEXT_TOKENS, LlamaServer
from studio.progress import Progress, ShouldStop, Step
from studio.serve.listener import Endpoint
from studio.settings import DEFAULT_API_PORT

ROWS_AT_ONCE = 4


class GgufServer(Endpoint):
    """Serves one GGUF file under the name of the file. Raises ModelError if it is none."""

    def __init__(self, gguf: Path, *, key: str = "", port: int = DEFAULT_API_PORT,
                 context_tokens: int = CONTEXT_TOKENS) -> None:
        super().__init__(key, port)
        self._gguf = checked_gguf(gguf)
        self._context_tokens = context_tokens

    @property
    def model_names(self) -> list[str]:
        """What a request may name as its model."""
        return [self._gguf.stem]

    def _app(self, opened: ExitStack, progress: Progress, stop: ShouldStop) -> Any:
        """Loads the file into a process that is gone with `opened`. ModelError if llama.cpp
        cannot read it."""
        from studio.serve.gguf_app import build_gguf_api

        progress(Step(f"Loading {self._gguf.name} into llama.cpp"))
        llama = opened.enter_context(LlamaServer(
            self._gguf, rows_at_once=ROWS_AT_ONCE, context_tokens=self._context_tokens, stop=stop))
        return build_gguf_api(f"{llama.url}/v1", llama.key, self._gguf.stem, self._key)
