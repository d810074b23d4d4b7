"""JSON files: a list of objects, one object, or an object that holds the list under a usual key.

A list is cut record by record, so it may be larger than memory. Many files named .json hold one
object a line, and some named .jsonl hold a list; both are read as what they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from studio.data.reading.blocks import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    FIRST_BLOCK_BYTES,
    LONGEST_RECORD_BYTES,
    Block,
    Rows,
    note,
)
from studio.data.reading.json_rows import left_out, read_json_row
from studio.data.reading.json_scan import JsonScan
from studio.data.reading.jsonl import jsonl_blocks
from studio.data.reading.opened import Opened, open_bytes
from studio.data.records import Problem, Read
from studio.errors import DataError

_WRAPPERS = ("data", "rows", "examples", "records")
"""Keys under which a JSON file that is one object often keeps its list of records."""
_TRAIN = "train"
_LIST = re.compile(rb"\s*\[\s*(\{|\]\s*$|$)")


@dataclass(frozen=True, slots=True)
class Elements:
    """Whole elements of a JSON list; `first_row` is the number of the first one, from 1."""

    texts: list[bytes]
    first_row: int
    prefix: str
    done: int

    def read(self) -> list[Read]:
        return [read_json_row(text, f"{self.prefix}row {number}")
                for number, text in enumerate(self.texts, self.first_row)]


def json_blocks(opened: Opened, split: str) -> Iterator[Block]:
    """Every record of the file. Raises DataError where its text is no JSON."""
    if _is_lines(opened.peek()):
        yield from jsonl_blocks(opened)
        return
    scan = JsonScan(opened)
    first = scan.next_character()
    if first == "[":
        yield from _elements(scan, opened)
    elif first == "{":
        yield from _object(scan, opened, (*_WRAPPERS, split) if split == _TRAIN else (split,))
    elif first:
        yield from _whole(opened)
        return
    if scan.next_character():
        raise scan.broken("more follows after its end")


def is_list(head: bytes) -> bool:
    """Whether a file that should hold lines begins with a list of objects instead."""
    return _LIST.match(head) is not None and not _is_lines(head)


def _is_lines(head: bytes) -> bool:
    """Whether the first line is a value of its own and others follow."""
    first, _, rest = head.lstrip().partition(b"\n")
    if not first.startswith((b"{", b"[")) or not rest.strip():
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _elements(scan: JsonScan, opened: Opened) -> Iterator[Block]:
    """The records of the list that begins here, up to and with its "]"."""
    scan.require("[")
    row = 1
    texts: list[bytes] = []
    size = 0
    limit = FIRST_BLOCK_BYTES
    is_done = scan.take("]")
    while not is_done:
        texts.append(scan.value())
        size += len(texts[-1])
        is_done = scan.take("]")
        if not is_done:
            scan.require(",")
        if is_done or size >= limit or len(texts) == BLOCK_ROWS:
            yield Elements(texts, row, opened.file.prefix, scan.position)
            row += len(texts)
            texts, size, limit = [], 0, BLOCK_BYTES


def _object(scan: JsonScan, opened: Opened, keys: tuple[str, ...]) -> Iterator[Block]:
    """The first list under one of `keys`, or what `_without_list` finds in its place."""
    taken = ""
    unread: list[str] = []
    scan.require("{")
    is_done = scan.take("}")
    while not is_done:
        key = str(json.loads(scan.value(), strict=False))
        scan.require(":")
        if scan.next_character() != "[":
            scan.value()
        elif key in keys and not taken:
            taken = key
            yield from _elements(scan, opened)
        elif _skip_list(scan):
            unread.append(key)
        is_done = scan.take("}")
        if not is_done:
            scan.require(",")
    if not taken:
        yield from _without_list(opened, keys, unread)
    elif unread:
        yield note(Problem(
            f"only the list under {taken!r} was read; there are also "
            f"{', '.join(map(repr, unread[:8]))}.", opened.file.prefix.strip(),
            "To read another one, give its name as the split.", "not_read"), scan.position)


def _without_list(opened: Opened, keys: tuple[str, ...], unread: list[str]) -> Iterator[Block]:
    """Where no list has the name of the split: the usual keys, then the object as the one record.

    Reads the file once more from its beginning. Raises DataError where the split is missing.
    """
    if any(key in _WRAPPERS for key in unread):
        with open_bytes(opened.file) as again:
            yield from _object(JsonScan(again), again, _WRAPPERS)
    elif _TRAIN in unread:
        raise DataError(f"{opened.file.name} holds no list {keys[0]!r}.",
                        f"Its lists are {', '.join(unread[:8])}; give one of them as the split.")
    else:
        yield from _whole(opened)


def _skip_list(scan: JsonScan) -> bool:
    """Step over a list; whether it holds objects."""
    has_objects = False
    scan.require("[")
    while not scan.take("]"):
        has_objects = scan.value().startswith(b"{") or has_objects
        if scan.next_character() != "]":
            scan.require(",")
    return has_objects


def _whole(opened: Opened) -> Iterator[Block]:
    """The whole file as one record, read once more from its beginning."""
    place = f"{opened.file.prefix}row 1"
    parts: list[bytes] = []
    size = 0
    with open_bytes(opened.file) as again:
        while size <= LONGEST_RECORD_BYTES and (data := again.read(BLOCK_BYTES)):
            parts.append(data)
            size += len(data)
    if size > LONGEST_RECORD_BYTES:
        yield Rows([left_out(f"one object of more than {LONGEST_RECORD_BYTES // 2**20} MB.", place,
                             "Write a list of objects, [{...}, {...}].")], opened.position)
    else:
        yield Rows([read_json_row(b"".join(parts).strip(), place)], opened.position)
