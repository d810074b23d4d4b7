"""Opens a chat over whatever the base is: a GGUF file, or anything that Transformers loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.chat.gguf_session import GgufSession
from studio.chat.session import ChatSession
from studio.models.gguf_file import is_gguf
from studio.progress import Progress, silent

if TYPE_CHECKING:
    from studio.chat.abstract_session import Session
    from studio.chat.session import Column
    from studio.recipe import Model
    from studio.settings import Settings


def open_session(model: Model, columns: list[Column], settings: Settings, *,
                 progress: Progress = silent) -> Session:
    """Load the base and its columns. Raises ModelError where one of them cannot be loaded."""
    kind = GgufSession if is_gguf(model.source) else ChatSession
    return kind(model, columns, settings, progress=progress)
