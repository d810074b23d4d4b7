"""All readable rows of a set on disk, in reading order, and what is known of each source.

Made by `scan.py`. Any row can be read while only a thousand are in memory; nothing grows with
the set but two bytes a row.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import orjson

from studio.data.detect import Groups
from studio.data.lab.chunks import Chunks
from studio.data.records import Problem, Row

ROWS_FILE = "rows.bin"
FACTS_FILE = "facts.json"
PROBLEMS_KEPT = 1000


@dataclass(frozen=True)
class SourceFacts:
    """What reading one source told. `total` counts the rows that could not be read as well."""

    name: str
    held_out: bool
    total: int
    readable: int
    groups: Groups


@dataclass(frozen=True)
class Facts:
    """What reading all sources told. `problem_counts` counts by kind; the first thousand are
    in `problems`. `fingerprint` is made from the content alone."""

    fingerprint: str
    sources: tuple[SourceFacts, ...]
    problems: tuple[Problem, ...]
    problem_counts: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint, "problem_counts": self.problem_counts,
            "problems": [[p.what, p.where, p.hint, p.kind] for p in self.problems],
            "sources": [{"name": one.name, "held_out": one.held_out, "total": one.total,
                         "readable": one.readable, "groups": one.groups.as_json()}
                        for one in self.sources],
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Facts:
        sources = tuple(SourceFacts(**{**one, "groups": Groups.from_json(one["groups"])})
                        for one in value["sources"])
        return Facts(value["fingerprint"], sources, tuple(Problem(*one)
                     for one in value["problems"]), value["problem_counts"])


class Store:
    """The rows in `folder`. Safe to read from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = Facts.from_json(json.loads((folder / FACTS_FILE).read_text(encoding="utf-8")))
        self.chunks = Chunks(folder / ROWS_FILE)
        self._table = functools.lru_cache(maxsize=4)(self._read)

    def __len__(self) -> int:
        return self.chunks.rows

    def row(self, number: int) -> Row:
        """Row `number`, counted from 0."""
        table, at = self._at(number)
        row: Row = load_row(table["row"][at].as_py())
        return row

    def place(self, number: int) -> str:
        """Where row `number` stood: "line 12", "b.jsonl line 3"."""
        table, at = self._at(number)
        return str(table["place"][at].as_py())

    def rows(self, start: int, stop: int) -> list[Row]:
        """Rows from `start` up to, not including, `stop`."""
        return [self.row(number) for number in range(start, min(stop, len(self)))]

    def each(self) -> Iterator[Row]:
        """Every row in order; the quickest way to see all of them."""
        for place in self.chunks.places():
            for text in place.table()["row"]:
                yield load_row(text.as_py())

    @functools.cached_property
    def source_of(self) -> numpy.ndarray:
        """The number of the source of every row, uint16."""
        counts = [source.readable for source in self.facts.sources]
        return numpy.repeat(numpy.arange(len(counts), dtype=numpy.uint16), counts)

    @functools.cached_property
    def held_out(self) -> numpy.ndarray:
        """Whether each row comes from a source that is never trained on."""
        flags = numpy.array([source.held_out for source in self.facts.sources], dtype=bool)
        return flags[self.source_of] if len(flags) else numpy.zeros(0, dtype=bool)

    def _at(self, number: int) -> tuple[Any, int]:
        if not 0 <= number < len(self):
            raise IndexError(f"row {number} of {len(self)}")
        chunk = self.chunks.holding(number)
        return self._table(chunk), number - self.chunks.place(chunk).first_row

    def _read(self, chunk: int) -> Any:
        return self.chunks.place(chunk).table()


def dump_row(row: Row) -> bytes:
    """A row as JSON. Whole numbers beyond 64 bits, which orjson refuses, are kept exactly."""
    try:
        return orjson.dumps(row)
    except (orjson.JSONEncodeError, TypeError):
        return json.dumps(row, ensure_ascii=False).encode()


def load_row(text: bytes) -> Any:
    """What `dump_row` wrote."""
    row = orjson.loads(text)
    # orjson reads whole numbers beyond 64 bits as fractions, so such a row is read again.
    return row if orjson.dumps(row) == text else json.loads(text)
