"""Which tensors a GGUF file holds, and their sizes: read behind its vocabulary, without a weight.

gguf's own reader makes a text of every token of the vocabulary, which takes seconds; this one
steps over them.
"""

from __future__ import annotations

import functools
import mmap
import struct
from pathlib import Path

from studio.models.gguf_file import checked_gguf
from studio.models.gguf_header import ARRAY, NUMBERS, STRING, VERSIONS, damaged_gguf

_MAGIC_BYTES = 4
_MOST_DIMENSIONS = 8
"""More of them means that the file is damaged; ggml knows four."""

Sizes = dict[str, tuple[int, ...]]
"""By name. The length of a row comes first: (inputs, outputs) of a linear layer."""


def read_gguf_tensors(path: Path) -> Sizes:
    """Read once for as long as the file stays as it is. Raises ModelError for no GGUF file."""
    file = checked_gguf(path)
    state = file.stat()
    return _read(file, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _read(path: Path, size_bytes: int, changed_ns: int) -> Sizes:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        try:
            return _Reader(held).tensors()
        except (struct.error, UnicodeDecodeError, ValueError, KeyError, IndexError) as error:
            raise damaged_gguf(path) from error


class _Reader:
    def __init__(self, held: mmap.mmap) -> None:
        self._held = held
        self._at = _MAGIC_BYTES

    def tensors(self) -> Sizes:
        if self._number("I") not in VERSIONS:
            raise ValueError("another version")
        count, fields = self._number("Q"), self._number("Q")
        for _ in range(fields):
            self._step_over_text()
            self._step_over_value(self._number("I"))
        return dict(self._tensor() for _ in range(count))

    def _tensor(self) -> tuple[str, tuple[int, ...]]:
        length = self._number("Q")
        name = self._held[self._at:self._at + length].decode("utf-8")
        self._at += length
        dimensions = self._number("I")
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError("too many dimensions")
        sizes = tuple(self._number("Q") for _ in range(dimensions))
        self._number("I")  # the number format
        self._number("Q")  # where its numbers begin
        return name, sizes

    def _step_over_value(self, kind: int) -> None:
        if kind == STRING:
            self._step_over_text()
        elif kind != ARRAY:
            self._at += struct.calcsize(f"<{NUMBERS[kind]}")
        else:
            kind, count = self._number("I"), self._number("Q")
            if kind in NUMBERS:
                self._at += count * struct.calcsize(f"<{NUMBERS[kind]}")
                return
            for _ in range(count):
                self._step_over_value(kind)

    def _step_over_text(self) -> None:
        length = self._number("Q")
        self._at += length

    def _number(self, form: str) -> int:
        form = f"<{form}"
        found: int = struct.unpack_from(form, self._held, self._at)[0]
        self._at += struct.calcsize(form)
        return found
