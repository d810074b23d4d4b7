"""Which kinds of file are read, known by the ending of their name, and who reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from studio.data.reading.arrow_files import arrow_blocks, parquet_blocks
from studio.data.reading.blocks import Block
from studio.data.reading.csv_files import csv_blocks
from studio.data.reading.json_files import is_list, json_blocks
from studio.data.reading.jsonl import jsonl_blocks
from studio.data.reading.opened import COMPRESSED, DataFile, Opened, open_bytes
from studio.data.reading.text_files import document_blocks, text_blocks
from studio.errors import DataError

LINES = (".jsonl", ".ndjson")
TEXTS = (".txt", ".md")
ARROWS = (".arrow", ".feather")
READABLE = (*LINES, ".json", ".csv", ".tsv", ".parquet", *ARROWS, *TEXTS)


def ending_of(path: Path) -> str:
    """".jsonl" of a.jsonl and of a.jsonl.gz; "" where the name says nothing."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSED else suffix


def is_readable(path: Path) -> bool:
    return ending_of(path) in READABLE


def require_readable(path: Path) -> None:
    """Raises DataError where the ending says nothing that is read."""
    if is_readable(path):
        return
    hint = f"Readable are {', '.join(READABLE)}, each also packed as .gz or .zst."
    if path.suffix.lower() in COMPRESSED:
        raise DataError(f"{path.name} does not say what is packed in it.",
                        f"Name it as in data.jsonl{path.suffix}. {hint}")
    if path.suffix.lower() in (".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz"):
        raise DataError(f"{path.name} is an archive, which is not read as data.",
                        f"Unpack it and give the file inside. {hint}")
    raise DataError(
        f"{path.name} ends in {path.suffix!r}, which is not read as data." if path.suffix else
        f"{path.name} has no ending that says what it holds.", hint)


def file_blocks(file: DataFile, split: str, *, whole: bool = False) -> Iterator[Block]:
    """The records of one file; with `whole` a text file is one. Raises DataError and OSError."""
    ending = ending_of(file.path)
    if file.path.stat().st_size == 0:
        return
    if ending == ".parquet":
        yield from parquet_blocks(file)
    elif ending in ARROWS:
        yield from arrow_blocks(file)
    else:
        with open_bytes(file) as opened:
            yield from _text_blocks(opened, ending, split, whole)


def _text_blocks(opened: Opened, ending: str, split: str, whole: bool) -> Iterator[Block]:
    if ending == ".json" or (ending in LINES and is_list(opened.peek())):
        yield from json_blocks(opened, split)
    elif ending in LINES:
        yield from jsonl_blocks(opened)
    elif ending in TEXTS:
        yield from document_blocks(opened) if whole else text_blocks(opened)
    else:
        yield from csv_blocks(opened, is_tabs=ending == ".tsv")
