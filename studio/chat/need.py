"""What a chat takes of the device's memory, told before it is opened.

Counted from the base's shape and the headers of the adapters' files: nothing is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.adapters.folder import read_adapter_folder
from studio.chat.gguf_adapters import adapter_bytes
from studio.device import pick_device
from studio.errors import StudioError
from studio.hardware.chat_memory import conversation_tokens, estimate_chat
from studio.hardware.gguf_memory import estimate_gguf_chat
from studio.models.gguf_file import find_gguf, is_gguf
from studio.models.gguf_header import read_gguf_header
from studio.models.shape import model_shape
from studio.models.source import is_on_this_pc

if TYPE_CHECKING:
    from studio.chat.session import Column
    from studio.recipe import Model
    from studio.settings import Settings


def chat_need(model: Model, columns: list[Column], settings: Settings) -> int | None:
    """The most bytes that a conversation in these columns takes beside other work here.

    None where it cannot be told: the base is not on this PC yet, or something about the choice is
    wrong, which opening it says.
    """
    try:
        if is_gguf(model.source):
            # It may use a GPU if there is one, so it counts there, too.
            return estimate_gguf_chat(
                read_gguf_header(find_gguf(model.source, settings)),
                gguf_adapters_bytes(columns)).high_bytes
        if not is_on_this_pc(model, settings):
            return None
        shape = model_shape(model.source, settings, revision=model.revision,
                            trust_remote_code=model.trust_remote_code)
        device = pick_device()
        adapters = {column.adapter_path: read_adapter_folder(column.adapter_path)
                    for column in columns if column.adapter_path}
        found = estimate_chat(
            model, shape, device, columns=len(columns), adapters=list(adapters.values()),
            context_tokens=conversation_tokens(shape))
    except StudioError:
        return None
    if device.kind != "cuda":
        return found.high_bytes
    # The context on the GPU is the program's, and whoever else is at work has it already.
    return found.high_bytes - sum(one.bytes for one in found.parts if one.name == "overhead")


def gguf_adapters_bytes(columns: list[Column]) -> int:
    """What the adapters of the columns take in llama.cpp, each once. Raises ModelError."""
    paths = dict.fromkeys(column.adapter_path for column in columns)
    return sum(adapter_bytes(path) for path in paths if path is not None)
