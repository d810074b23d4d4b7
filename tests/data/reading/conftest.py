"""A short way to read a whole source and look at what came of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from studio.data.reading.sources import sources_of
from studio.data.records import Read
from studio.recipe import Data
from studio.settings import Settings


class Result:
    """All that a source gave. `records` counts rows and problems that are no notes."""

    def __init__(self, reads: list[Read]) -> None:
        self.rows = [read.row for read in reads if read.row is not None]
        self.places = [read.place for read in reads if read.row is not None]
        self.problems = [read.problem for read in reads if read.problem is not None]
        self.left_out = [read.problem for read in reads
                         if read.row is None and read.place and read.problem is not None]
        self.notes = [read.problem for read in reads if not read.place]
        self.records = len(self.rows) + len(self.left_out)


@pytest.fixture
def read_all(settings: Settings) -> Callable[..., Result]:
    """read_all(spec, split="train", ...): every block goes through pickle, as to a worker."""

    def read(spec: str, **fields: object) -> Result:
        source = sources_of(Data(source=spec, **fields), settings)[0]
        return Result([read for block in source.blocks()
                       for read in pickle.loads(pickle.dumps(block)).read()])

    return read
