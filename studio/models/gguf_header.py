"""What a GGUF file says of itself at its beginning: its kind, its context, and its shape.

Ends where the vocabulary begins, since gguf's own reader goes through every token and takes
seconds for that. The format is at github.com/ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from studio.errors import ModelError
from studio.models.gguf_file import checked_gguf

VERSIONS = (2, 3)
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
           12: "d"}
"""Of the kinds of values, those of one number, in the letters of `struct`."""
STRING, ARRAY = 8, 9
_VOCABULARY = "tokenizer."
_MOST_BYTES, _MOST_ITEMS = 2**20, 2**16
"""More of a text or of a list before the vocabulary means that the file is damaged."""
_CACHE_ITEM_BYTES = 2
"""llama.cpp keeps keys and values in 16 bits unless it is told otherwise."""


@dataclass(frozen=True)
class GgufHeader:
    """`fields` by their names in the file; sizes in tokens, numbers, or bytes."""

    file_bytes: int
    fields: dict[str, Any]

    @property
    def is_adapter(self) -> bool:
        """Whether the file holds a LoRA, and no model."""
        return self.fields.get("general.type") == "adapter"

    @property
    def context_tokens(self) -> int | None:
        """What the model was made for; None where the file names no limit."""
        return self._of_model("context_length")

    @property
    def width(self) -> int:
        """Numbers that stand for a token; 0 where the file does not tell."""
        return self._of_model("embedding_length") or 0

    @property
    def inner_width(self) -> int:
        """Of the feed-forward layers, the widest."""
        return max(_each(self._of_model("feed_forward_length"), 1))

    @property
    def cache_bytes_per_token(self) -> int:
        """Keys and values of all layers; 0 for a kind of model that keeps none, or of which the
        file does not tell."""
        layers, heads = self._of_model("block_count"), self._of_model("attention.head_count")
        if not layers or not heads:
            return 0
        each_head = self.width // max(_each(heads, 1))
        keys = self._of_model("attention.key_length") or each_head
        values = self._of_model("attention.value_length") or each_head
        kept = _each(self._of_model("attention.head_count_kv") or heads, layers)
        return _CACHE_ITEM_BYTES * sum(kept) * (keys + values)

    def _of_model(self, name: str) -> Any:
        return self.fields.get(f"{self.fields.get('general.architecture')}.{name}")


def read_gguf_header(path: Path) -> GgufHeader:
    """Read once for as long as the file stays as it is. Raises ModelError for no GGUF file."""
    file = checked_gguf(path)
    state = file.stat()
    return _read(file, state.st_size, state.st_mtime_ns)


def damaged_gguf(path: Path) -> ModelError:
    """What to say of a file that begins as a GGUF and does not go on as one."""
    return ModelError(f"The GGUF file {path.name} is damaged, or of a form that is not read here.",
                      "Write it again, or fetch it again.")


@functools.lru_cache(maxsize=256)
def _read(path: Path, size_bytes: int, changed_ns: int) -> GgufHeader:
    with path.open("rb") as file:
        try:
            return GgufHeader(size_bytes, _fields(file))
        except (struct.error, UnicodeDecodeError, ValueError, KeyError) as error:
            raise damaged_gguf(path) from error


def _fields(file: BinaryIO) -> dict[str, Any]:
    file.seek(4)  # behind the magic number
    if _number(file, "I") not in VERSIONS:
        raise ValueError("another version")
    _number(file, "Q")  # tensors
    found: dict[str, Any] = {}
    for _ in range(_number(file, "Q")):
        key = _text(file)
        if key.startswith(_VOCABULARY):
            break
        found[key] = _value(file, _number(file, "I"))
    return found


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _text(file)
    if kind != ARRAY:
        return _number(file, NUMBERS[kind])
    kind, count = _number(file, "I"), _number(file, "Q")
    if count > _MOST_ITEMS:
        raise ValueError("a list too long")
    return [_value(file, kind) for _ in range(count)]


def _number(file: BinaryIO, form: str) -> Any:
    form = f"<{form}"
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _text(file: BinaryIO) -> str:
    length = _number(file, "Q")
    if length > _MOST_BYTES:
        raise ValueError("a text too long")
    return file.read(length).decode("utf-8")


def _each(value: Any, layers: int) -> list[int]:
    """What may be one number for all layers, or one for each."""
    return list(value) if isinstance(value, list) else [int(value or 0)] * layers
