"""The memory that the line-up of the Chat tab takes, or why it cannot answer.

Told before anything is loaded, by shapes and by the adapters' small files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import known_adapter_folder, require_fit_layers
from studio.chat.gguf_adapters import require_possible
from studio.chat.need import gguf_adapters_bytes
from studio.errors import StudioError
from studio.models.gguf_file import is_gguf
from studio.models.gguf_header import read_gguf_header
from studio.ui import markup
from studio.ui.panels import job_memory
from studio.ui.panels.chat_columns import base_label, model_of, picked
from studio.ui.panels.chat_lineup_page import form_model, lineup_of, offers_now, wish_of

if TYPE_CHECKING:
    from studio.chat.session import Column
    from studio.recipe import Model
    from studio.ui.studio import Studio


def room_view(studio: Studio, values: dict[str, Any]) -> str:
    """The memory that the chosen base and columns take; a choice that cannot be is said, and an
    adapter that does not fit the base."""
    offers, wish = offers_now(studio), wish_of(values)
    try:
        if is_gguf(wish.base):
            return _gguf_room(studio, *lineup_of(studio, values))
        chosen = picked(offers, wish)
        model = model_of(offers, chosen, wish, form_model(values))
        adapters = [one for one in chosen if one is not None]
        shape = job_memory.shape_of(studio, model)
        for one in adapters:
            require_fit_layers(known_adapter_folder(one.path), shape.layer_sizes,
                               base_label(model.source))
    except StudioError as error:
        return markup.note(error.message, error.hint, "warning")
    return job_memory.chat_room(studio, model, len(chosen), [one.adapter for one in adapters])


def _gguf_room(studio: Studio, model: Model, columns: list[Column]) -> str:
    """The same over a GGUF file. Raises StudioError for an adapter that cannot answer over it."""
    file = Path(model.source)
    for column in columns:
        if column.adapter_path is not None and not is_gguf(column.adapter_path.name):
            require_possible(column.adapter_path, file, studio.settings, column.name)
    return job_memory.gguf_chat_room(read_gguf_header(file), gguf_adapters_bytes(columns))
