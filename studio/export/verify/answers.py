"""Greedy answers from a GGUF file, through llama.cpp in a process that is gone afterwards."""

from __future__ import annotations

from pathlib import Path

from studio.chat.prompt import Message
from studio.export.verify.llama_side import LlamaSide
from studio.progress import ShouldStop, never, silent


def ask_gguf(gguf: Path, messages: list[Message], max_new_tokens: int = 64, *,
             stop: ShouldStop = never) -> str:
    """The answer to one conversation. Errors as `ask_gguf_each`."""
    return ask_gguf_each(gguf, [messages], max_new_tokens, stop=stop)[0]


def ask_gguf_each(gguf: Path, conversations: list[list[Message]], max_new_tokens: int, *,
                  lora: Path | None = None, stop: ShouldStop = never) -> list[str]:
    """The answers to conversations, each by the file's own template; with the GGUF LoRA `lora` over
    the file, if one is given.

    Raises ModelError for a file that is missing or that llama.cpp cannot read, and Stopped.
    """
    with LlamaSide(gguf, [lora] if lora else [], progress=silent, stop=stop) as llama:
        prompts = [llama.prompt_ids(messages) for messages in conversations]
        return [one.text for one in llama.answers(prompts, max_new_tokens, progress=silent,
                                                       stop=stop)]
