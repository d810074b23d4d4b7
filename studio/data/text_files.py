"""Opens text files of any usual encoding, and reads plain text into records.

Undecodable bytes travel as lone surrogates to `Records.keep`, which leaves their row out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from studio.data.records import Records
from studio.errors import DataError

_BYTE_ORDER_MARKS = [
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
]
_NOT_TEXT = [
    (b"PK\x03\x04", "a zip archive"), (b"\x1f\x8b", "gzip-compressed"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed"), (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"), (b"SQLite format 3", "an SQLite database"),
    (b"\x80\x04", "a Python pickle"),
]

Tick = Callable[[int], bool]
"""Told the characters just read; answers True when enough was read."""


def open_text(path: Path) -> TextIO:
    """The file as text: byte-order marks and UTF-16 are recognised, line ends unified."""
    with path.open("rb") as file:
        head = file.read(4096)
    for magic, kind in _NOT_TEXT:
        if head.startswith(magic):
            raise DataError(f"{path.name} is {kind}, not a text file.",
                            "Unpack or convert it, or give it the ending of what it is.")
    encoding = _encoding(head)
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    return path.open(encoding=encoding, errors=errors, newline="" if _is_csv(path) else None)


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv")


def _encoding(head: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    # Western text in UTF-16 without a mark is every second byte zero.
    if len(head) >= 4 and head[1::2].count(0) > len(head) // 5:
        return "utf-16-le"
    if len(head) >= 4 and head[0::2].count(0) > len(head) // 5:
        return "utf-16-be"
    return "utf-8"


def read_text(path: Path, records: Records, tick: Tick) -> None:
    """One record per paragraph (blank lines between), in a column `text`."""
    paragraph: list[str] = []
    start = 1
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                start = start if paragraph else number
                paragraph.append(line)
            elif paragraph:
                records.keep({"text": "".join(paragraph).strip()}, f"line {start}")
                paragraph = []
            if tick(len(line)):
                return
    if paragraph:
        records.keep({"text": "".join(paragraph).strip()}, f"line {start}")
