"""A whole data set, read and examined: what findings, statistics, and splits are made from.

Everything that exists once per row is an array or a table on disk; rows themselves are read one
chunk at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from studio.data.detection import Detection
from studio.data.dividing import divided_lengths
from studio.data.encoder import Encoder
from studio.data.lab.chunks import Chunks
from studio.data.lab.examine import (
    CHECKS_FILE,
    FAULTS_FILE,
    LENGTHS_FILE,
    TOKENS_FILE,
    checks_folder,
    tokens_folder,
)
from studio.data.lab.store import SourceFacts, Store
from studio.data.lab.tables import open_table
from studio.data.records import Problem
from studio.errors import DataError
from studio.recipe import Data

if TYPE_CHECKING:
    import pyarrow
    from transformers import PreTrainedTokenizerBase

    from studio.data.split import Split


@dataclass(frozen=True)
class Lengths:
    """In tokens and uncut, one number per row, uint32; 0 and 2**32 - 1 for a faulty row.

    `first_loss` is the number of the first token that is learned, 2**32 - 1 where none is.
    """

    total: numpy.ndarray
    first_loss: numpy.ndarray
    loss_tokens: numpy.ndarray


@dataclass(frozen=True)
class Whole:
    """One set. `encoder` is None while there is no tokenizer, and where the recipe's template
    cannot be used, for the reason in `template_error`; then there are no lengths."""

    store: Store
    data: Data
    detections: tuple[Detection, ...]
    encoder: Encoder | None
    tokenizer: PreTrainedTokenizerBase | None = None
    template_error: DataError | None = None

    @property
    def sources(self) -> tuple[SourceFacts, ...]:
        """What reading each source told."""
        return self.store.facts.sources

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was wrong with records that could not be read, at most a thousand."""
        return self.store.facts.problems

    @property
    def held_out(self) -> numpy.ndarray:
        """Whether each row comes from a source that is never trained on."""
        return self.store.held_out

    @cached_property
    def checks(self) -> pyarrow.Table:
        """The facts of every row, see `checks/rows.py`."""
        return open_table(checks_folder(self.store, self.detections) / CHECKS_FILE)

    @cached_property
    def faults(self) -> pyarrow.Table:
        """row, kind, what, hint of every row that cannot be taught, whatever the length."""
        import pyarrow

        tables = [open_table(checks_folder(self.store, self.detections) / FAULTS_FILE)]
        if self.encoder is not None:
            tables.append(open_table(self._tokens / FAULTS_FILE))
        return pyarrow.concat_tables(tables)

    @cached_property
    def lengths(self) -> Lengths | None:
        """How long every row is, or None without a tokenizer."""
        if self.encoder is None:
            return None
        columns = numpy.load(self._tokens / LENGTHS_FILE, mmap_mode="r")
        return Lengths(*(numpy.ascontiguousarray(columns[:, n]) for n in range(3)))

    @cached_property
    def tokens(self) -> Chunks | None:
        """The tokens of every row in chunks as those of the store, or None without a tokenizer."""
        return None if self.encoder is None else Chunks(self._tokens / TOKENS_FILE)

    @cached_property
    def faulty(self) -> numpy.ndarray:
        """Whether each row has a fault, bool."""
        flags = numpy.zeros(len(self.store), dtype=bool)
        flags[self.faults["row"].to_numpy()] = True
        return flags

    @cached_property
    def teachable(self) -> numpy.ndarray:
        """Whether each row can be taught: no fault, and a learned token before the cut."""
        known = ~self.faulty
        if self.lengths is not None:
            known &= self.lengths.first_loss < self.data.max_length
        return known

    def taught_lengths(self, rows: numpy.ndarray) -> numpy.ndarray:
        """Tokens of each row of the training that these rows become: cut, or divided. Needs a
        tokenizer."""
        assert self.lengths is not None
        total = self.lengths.total[rows]
        if self.data.divides:
            return divided_lengths(total, self.data.max_length)
        return numpy.minimum(total, self.data.max_length)

    @cached_property
    def groups(self) -> numpy.ndarray:
        """The first row of each row's group of exact and near duplicates, uint32; kept on disk."""
        from studio.data.checks.duplicates import duplicate_groups

        path = checks_folder(self.store, self.detections) / "groups.npy"
        if not path.is_file():
            beside = path.with_suffix(".partial.npy")
            numpy.save(beside, duplicate_groups(self))
            beside.replace(path)
        return numpy.asarray(numpy.load(path))

    @cached_property
    def split(self) -> Split:
        """Which rows are trained on and which are held out. Raises DataError as `split_of` does."""
        from studio.data.split import split_of

        return split_of(self)

    def fault_problems(self, most: int) -> list[Problem]:
        """The first faults with their places, at most so many."""
        found = self.faults.slice(0, max(0, most)).to_pylist()
        return [Problem(one["what"], self.store.place(one["row"]), one["hint"], one["kind"])
                for one in found]

    @cached_property
    def languages(self) -> dict[int, str]:
        """Row -> language of a random sample of the rows."""
        from studio.data.checks.content import languages_of_sample

        return languages_of_sample(self)

    @property
    def _tokens(self) -> Path:
        assert self.encoder is not None
        return tokens_folder(self.store, self.detections, self.encoder)
