"""What a chat takes of the device's memory, told before it is opened.

Counted from the base's shape and the headers of the adapters' files: nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from studio.adapters.folder import known_adapter_folder
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
    from studio.chat.context import ContextUse
    from studio.chat.prompt import Message
    from studio.chat.sampling import Sampling
    from studio.chat.session import Column
    from studio.recipe import Model
    from studio.settings import Settings


CHARACTERS_PER_TOKEN = 3
"""Of a text that no tokenizer has read yet; once the model is loaded, its own count is taken."""


def foretold_tokens(histories: Mapping[str, list[Message]], sampling: Sampling) -> int:
    """How long the longest of these conversations grows, before there is a tokenizer."""
    characters = max((sum(len(turn["content"]) for turn in one) for one in histories.values()),
                     default=0)
    return characters // CHARACTERS_PER_TOKEN + sampling.max_new_tokens


def counted_tokens(uses: Iterable[ContextUse], sampling: Sampling) -> int:
    """The same of counted prompts: all columns are rows as long as the longest."""
    wanted = [(use.used_tokens + sampling.max_new_tokens, use.limit_tokens) for use in uses]
    return max((tokens if limit is None else min(tokens, limit) for tokens, limit in wanted),
               default=0)


def chat_need(model: Model, columns: list[Column], settings: Settings,
              tokens: int = 0) -> int | None:
    """The most bytes that a conversation in these columns takes beside other work here.

    It grows to `tokens`, question and answer included, or to what is usual where that is more.
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
        adapters = {column.adapter_path: known_adapter_folder(column.adapter_path)
                    for column in columns if column.adapter_path}
        found = estimate_chat(
            model, shape, device, columns=len(columns), adapters=list(adapters.values()),
            context_tokens=conversation_tokens(shape, tokens))
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
