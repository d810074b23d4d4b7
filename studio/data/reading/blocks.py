"""The unit of reading: about a megabyte or a thousand rows, cut in one process, parsed in another.

A block can be pickled. Cutting is cheap and keeps the order; `read` does the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from studio.data.records import Problem, Read

BLOCK_BYTES = 2**20
FIRST_BLOCK_BYTES = 2**16
"""The first block is small, so that its rows can be shown at once."""
BLOCK_ROWS = 1000
LONGEST_RECORD_BYTES = 64 * 2**20
"""A longer record is no example for a language model, and would have to be held in memory whole."""


class Block(Protocol):
    """`done` is how far into the source its end lies, in the source's `unit`."""

    @property
    def done(self) -> int: ...

    def read(self) -> list[Read]:
        """Every record of the block in its order, the unreadable ones as problems."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """Records that are parsed already."""

    reads: list[Read]
    done: int

    def read(self) -> list[Read]:
        return self.reads


def note(problem: Problem, done: int) -> Rows:
    """A block without records that says something about the whole source."""
    return Rows([Read("", None, problem)], done)
