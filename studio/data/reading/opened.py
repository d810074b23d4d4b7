"""Opens a data file as a stream of UTF-8: unpacked, without a mark, lines ended by \\n or \\r\\n.

Memory stays bounded whatever the file holds: a compressed file that swells beyond reason is
refused. Undecodable UTF-8 bytes pass through; whoever parses them names their record.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from studio.data.reading.blocks import BLOCK_BYTES
from studio.errors import DataError

COMPRESSED = (".gz", ".zst")
_HEAD_BYTES = 65536
_SWELLS_FROM_BYTES = 256 * 2**20
_SWELLS_TIMES = 200

_BYTE_ORDER_MARKS = [
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"), (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"),
]
_NOT_TEXT = [
    (b"PK\x03\x04", "a zip archive"), (b"\x1f\x8b", "gzip-compressed"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed"), (b"BZh", "bzip2-compressed"),
    (b"\xfd7zXZ", "xz-compressed"), (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"PAR1", "a Parquet file"), (b"ARROW1", "an Arrow file"), (b"%PDF", "a PDF"),
    (b"SQLite format 3", "an SQLite database"), (b"\x80\x04", "a Python pickle"),
    (b"\x89PNG", "a picture"), (b"\xff\xd8\xff", "a picture"),
]


@dataclass(frozen=True)
class DataFile:
    """A file of a source. `prefix` stands before every place in it ("b.jsonl "), `start_bytes` is
    the size of the files before it."""

    path: Path
    prefix: str = ""
    start_bytes: int = 0

    @property
    def name(self) -> str:
        return self.path.name


class Opened(io.RawIOBase):
    """The stream. Raises DataError where the packing is damaged or a bomb."""

    def __init__(self, file: DataFile, raw: BinaryIO, *, is_text: bool = True) -> None:
        super().__init__()
        self.file = file
        self._raw = raw
        self._unpacked_bytes = 0
        self._unpacker = _unpacker(file.path, raw)
        self._is_packed = self._unpacker is not raw
        self._ahead = b""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._has_old_line_ends = False
        self._ahead = self._bytes(_HEAD_BYTES)
        if is_text:
            self._recognise()

    @property
    def position(self) -> int:
        """How far into the source reading has come, in bytes as they lie on the disk."""
        return self.file.start_bytes + self._raw.tell()

    def readable(self) -> bool:
        return True

    def peek(self) -> bytes:
        """The next bytes, up to 64 kB, without taking them."""
        if not self._ahead:
            self._ahead = self._text(_HEAD_BYTES)
        return self._ahead

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """At most about `size` bytes (more after UTF-16, which grows); b"" at the end."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._text(size)

    def lines(self, newline: str | None) -> io.TextIOWrapper:
        """The rest as text, undecodable bytes as lone surrogates; `newline` as in open()."""
        return io.TextIOWrapper(io.BufferedReader(self, _HEAD_BYTES), "utf-8", "surrogateescape",
                                newline=newline)

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        if len(data) > len(buffer):
            data, self._ahead = data[:len(buffer)], data[len(buffer):] + self._ahead
        buffer[:len(data)] = data
        return len(data)

    def _recognise(self) -> None:
        head = self._ahead
        for magic, kind in _NOT_TEXT:
            if head.startswith(magic):
                raise DataError(f"{self.file.name} is {kind}, not a text file.",
                                "Unpack or convert it, or give it the ending of what it is.")
        mark, encoding = _encoding(head)
        head = head[len(mark):]
        if encoding != "utf-8":
            self._decoder = codecs.getincrementaldecoder(encoding)("replace")
            head = self._decoder.decode(head).encode()
        self._has_old_line_ends = b"\r" in head[:-1] and b"\n" not in head
        self._ahead = self._unified(head)

    def _text(self, size: int) -> bytes:
        while data := self._bytes(size):
            if self._decoder is None:
                return self._unified(data)
            if text := self._decoder.decode(data):
                return self._unified(text.encode())
        return self._decoder.decode(b"", True).encode() if self._decoder is not None else b""

    def _unified(self, data: bytes) -> bytes:
        return data.replace(b"\r", b"\n") if self._has_old_line_ends else data

    def _bytes(self, size: int) -> bytes:
        try:
            data = bytes(self._unpacker.read(size))
        except (EOFError, zlib.error, OSError) as error:
            if not self._is_packed or (isinstance(error, OSError) and error.errno):
                raise
            raise DataError(f"{self.file.name} cannot be unpacked to its end: {_what(error)}.",
                            "It was probably cut off or damaged; download or pack it again."
                            ) from error
        self._unpacked_bytes += len(data)
        if self._is_packed and self._unpacked_bytes > max(_SWELLS_FROM_BYTES,
                                                          _SWELLS_TIMES * self._raw.tell()):
            raise DataError(
                f"{self.file.name} unpacks to more than {_SWELLS_TIMES} times its size, so it was "
                "not read any further.",
                "No text is packed so tightly: check where the file comes from, or unpack it "
                "yourself and give the unpacked file.")
        return data


@contextmanager
def open_bytes(file: DataFile, *, is_text: bool = True) -> Iterator[Opened]:
    """The file as a stream. Raises DataError (another kind of file, damaged, a bomb), OSError."""
    with file.path.open("rb") as raw:
        yield Opened(file, raw, is_text=is_text)


def _unpacker(path: Path, raw: BinaryIO) -> Any:
    ending = path.suffix.lower()
    if ending == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if ending == ".zst":
        import pyarrow

        return pyarrow.CompressedInputStream(raw, "zstd") if raw.peek(1) else raw  # type: ignore[attr-defined]
    return raw


def _what(error: Exception) -> str:
    if isinstance(error, EOFError) or "Truncated" in str(error):
        return "its last part is missing"
    return str(error).strip(".")


def _encoding(head: bytes) -> tuple[bytes, str]:
    """(byte-order mark, encoding) of text that begins so."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return mark, encoding
    # Western text in UTF-16 without a mark is every second byte zero.
    sample = head[:4096]
    if len(sample) >= 4 and sample[1::2].count(0) > len(sample) // 5:
        return b"", "utf-16-le"
    if len(sample) >= 4 and sample[0::2].count(0) > len(sample) // 5:
        return b"", "utf-16-be"
    return b"", "utf-8"
