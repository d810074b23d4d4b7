"""What is counted while a source is read: which rows have which format, and what its columns hold.

Small, picklable and mergeable, so that workers count a block each: a byte for each row, a few
places for each format, one sample for each column. Decides nothing; `detect.py` does.
"""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from studio.data import shapes
from studio.data.expressions import as_written
from studio.data.records import Row

UNKNOWN = "unknown"
FORMATS = (*shapes.BY_NAME, UNKNOWN)
_CODES = {name: code for code, name in enumerate(FORMATS)}
_PLACES_KEPT = 3
_COLUMNS_KEPT = 1000
_PATHS_KEPT = 200
_PATH_DEPTH = 3
_SAMPLE_CHARACTERS = 120
_LAYOUTS_LOOKED_INTO = 20
_KINDS: dict[type, str] = {
    str: "text", int: "number", float: "number", bool: "yes or no", list: "list", dict: "object",
    type(None): "empty",
}


@dataclass
class Group:
    """Rows of one format with the same columns."""

    format: str
    columns: dict[str, str]
    rows: int = 0


@dataclass
class Column:
    """`kinds` counts rows by what they hold ("text", "number", "yes or no", "list", "object",
    "turns", "dialogue", "empty"), rows whose columns have the same types by the first of them;
    `sample` is the first value that is not empty, shortened."""

    kinds: dict[str, int] = field(default_factory=dict)
    sample: str = ""

    @property
    def filled(self) -> int:
        """Rows that hold something other than null."""
        return sum(rows for kind, rows in self.kinds.items() if kind != "empty")

    @property
    def kind(self) -> str:
        """What most of its rows hold."""
        known = {kind: rows for kind, rows in self.kinds.items() if kind != "empty"}
        return max(known, key=lambda kind: known[kind]) if known else "empty"

    def add(self, other: Column) -> None:
        for kind, rows in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + rows
        self.sample = self.sample or other.sample


@dataclass
class Groups:
    """The rows of one source by format, in reading order.

    `columns` are in order of first appearance, at most a thousand of them; `paths` are places
    inside columns of objects and lists ("meta.question"), from sampled rows.
    """

    groups: dict[tuple[str, ...], Group] = field(default_factory=dict)
    first_places: dict[str, list[str]] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)
    paths: dict[str, Column] = field(default_factory=dict)
    codes: bytearray = field(default_factory=bytearray, repr=False)

    def merge(self, other: Groups) -> Groups:
        """Add the rows of `other`, which were read behind these. Changes and returns this one."""
        for key, group in other.groups.items():
            self.groups.setdefault(key, Group(group.format, group.columns)).rows += group.rows
        for format, places in other.first_places.items():
            known = self.first_places.setdefault(format, [])
            known += places[: _PLACES_KEPT - len(known)]
        _merge_columns(self.columns, other.columns, _COLUMNS_KEPT)
        _merge_columns(self.paths, other.paths, _PATHS_KEPT)
        self.codes += other.codes
        return self

    @property
    def rows(self) -> int:
        return len(self.codes)

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each format that occurs, most first; "unknown" for those of none."""
        counted: Counter[str] = Counter()
        for group in self.groups.values():
            counted[group.format] += group.rows
        return dict(counted.most_common())

    @property
    def column_names(self) -> list[str]:
        return list(self.columns)

    def places(self, format: str) -> list[str]:
        """Where the first rows of `format` stand, at most three."""
        return self.first_places.get(format, [])

    def rows_of(self, format: str) -> numpy.ndarray:
        """The numbers of the rows of `format`, from 0 in reading order (uint32)."""
        codes = numpy.frombuffer(bytes(self.codes), dtype=numpy.uint8)
        return numpy.flatnonzero(codes == _CODES[format]).astype(numpy.uint32)

    def kind_of(self, expression: str) -> str:
        """What a column, or a place inside one, mostly holds; "empty" where it is not known."""
        column = self.columns.get(expression) or self.paths.get(expression)
        return column.kind if column else "empty"

    def of(self, format: str) -> Iterator[Group]:
        """The groups of one format, one for each set of columns, in order of first appearance."""
        return (group for group in self.groups.values() if group.format == format)

    def as_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads again."""
        return {
            "groups": [[g.format, g.columns, g.rows] for g in self.groups.values()],
            "first_places": self.first_places,
            "columns": [[name, c.kinds, c.sample] for name, c in self.columns.items()],
            "paths": [[name, c.kinds, c.sample] for name, c in self.paths.items()],
            "codes": base64.b85encode(zlib.compress(self.codes, 1)).decode(),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Groups:
        groups = [Group(*one) for one in value["groups"]]
        return Groups(
            {_key(group): group for group in groups}, value["first_places"],
            {name: Column(kinds, sample) for name, kinds, sample in value["columns"]},
            {name: Column(kinds, sample) for name, kinds, sample in value["paths"]},
            bytearray(zlib.decompress(base64.b85decode(value["codes"]))))


def groups_of(rows: Sequence[Row], places: Sequence[str]) -> Groups:
    """Count the rows of one block. `places[i]` says where `rows[i]` stood."""
    counted = Groups()
    matches: dict[shapes.Match | None, Group] = {}
    layouts: Counter[tuple[Any, ...]] = Counter()
    samples: dict[tuple[Any, ...], Row] = {}
    for row, place in zip(rows, places, strict=True):
        match = shapes.match(row)
        group = matches.get(match)
        if group is None:
            group = matches[match] = Group(match.format, match.columns) if match \
                else Group(UNKNOWN, {})
        group.rows += 1
        first = counted.first_places.setdefault(group.format, [])
        if len(first) < _PLACES_KEPT:
            first.append(place)
        counted.codes.append(_CODES[group.format])
        layout = (*row, *map(type, row.values()))
        layouts[layout] += 1
        samples.setdefault(layout, row)
    for group in matches.values():
        same = counted.groups.setdefault(_key(group), Group(group.format, group.columns))
        same.rows += group.rows
    for number, (layout, count) in enumerate(layouts.items()):
        _add_layout(counted, samples[layout], count)
        if number < _LAYOUTS_LOOKED_INTO:
            _add_paths(counted, samples[layout], count)
    return counted


def _key(group: Group) -> tuple[str, ...]:
    return (group.format, *(text for pair in group.columns.items() for text in pair))


def _add_layout(counted: Groups, row: Row, count: int) -> None:
    """Columns of `count` rows that hold the same kinds, told by one of them."""
    for name, value in row.items():
        known = counted.columns.get(name)
        new = Column({_kind(value): count}, "" if known and known.sample else _sample(value))
        _merge_columns(counted.columns, {name: new}, _COLUMNS_KEPT)


def _add_paths(counted: Groups, row: Row, count: int) -> None:
    inside: dict[str, Column] = {}
    for name, value in row.items():
        _walk(name, value, inside, _PATH_DEPTH)
    for column in inside.values():
        column.kinds = dict.fromkeys(column.kinds, count)
    _merge_columns(counted.paths, inside, _PATHS_KEPT)


def _merge_columns(known: dict[str, Column], new: dict[str, Column], most: int) -> None:
    for name, column in new.items():
        if name not in known and len(known) >= most:
            continue
        known.setdefault(name, Column()).add(column)


def _walk(path: str, value: Any, found: dict[str, Column], depth: int) -> None:
    """Every place inside a column, to a depth; of a list, its first element."""
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list) and value:
        inside = {"0": value[0]}.items()
    else:
        return
    for step, item in inside:
        if len(found) >= _PATHS_KEPT:
            return
        below = f"{path}.{step}"
        found[below] = Column({_kind(item): 1}, _sample(item))
        if depth > 1:
            _walk(below, item, found, depth - 1)


def _kind(value: Any) -> str:
    if shapes.turn_kind(value) is not None:
        return "turns"
    if isinstance(value, str) and shapes.style_of(value) is not None:
        return "dialogue"
    return _KINDS.get(type(value), "text")


def _sample(value: Any) -> str:
    if isinstance(value, (list, dict)) and len(value) > _SAMPLE_CHARACTERS:
        value = value[:3] if isinstance(value, list) else dict(list(value.items())[:3])
    text = " ".join(as_written(value)[: 4 * _SAMPLE_CHARACTERS].split())
    return text if len(text) <= _SAMPLE_CHARACTERS else f"{text[:_SAMPLE_CHARACTERS - 1]}…"
