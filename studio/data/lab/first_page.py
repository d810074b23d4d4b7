"""The first rows of a set, however large it is, before anybody has read the rest."""

from __future__ import annotations

from dataclasses import dataclass

from studio.data.detect import choose_format, groups_of
from studio.data.detection import Detection
from studio.data.reading.sources import Source, sources_of
from studio.data.records import Problem, Row
from studio.errors import DataError
from studio.recipe import Data
from studio.settings import Settings

ROWS = 50


@dataclass(frozen=True)
class Page:
    """Up to fifty rows of the first source with their places. `detection` is what these rows
    alone look like; `is_all` says that there are no more."""

    name: str
    rows: tuple[Row, ...]
    places: tuple[str, ...]
    problems: tuple[Problem, ...]
    detection: Detection
    is_all: bool


def first_page(data: Data, settings: Settings) -> Page:
    """Read only as much as the first rows need. Raises DataError where there is no such source."""
    source = sources_of(data, settings)[0]
    rows, places, problems, is_all = _read(source)
    try:
        detection = choose_format(groups_of(rows, places), source.name, data)
    except DataError as error:
        problem = Problem(error.message, "", error.hint, "format")
        detection = Detection(None, error.message, {}, (problem,))
    return Page(source.name, tuple(rows), tuple(places), tuple(problems), detection, is_all)


def _read(source: Source) -> tuple[list[Row], list[str], list[Problem], bool]:
    rows: list[Row] = []
    places: list[str] = []
    problems: list[Problem] = []
    for block in source.blocks(first_page=True):
        for read in block.read():
            if len(rows) == ROWS:
                return rows, places, problems, False
            if read.problem is not None:
                problems.append(read.problem)
            if read.row is not None:
                rows.append(read.row)
                places.append(read.place)
    return rows, places, problems, True
