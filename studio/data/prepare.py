"""Everything between a recipe's `data` and the trainer: the only way in.

Takes the tokens that the data lab keeps, or makes them, and writes the two parts of the split in
the columns of the recipe's method (see `columns.py`), which its trainer takes as they are. Does not
pack or pad; the trainer does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy
import xxhash

from studio.data.checks.samples import sample_of
from studio.data.columns import Columns, Stored, columns_of, methods_for
from studio.data.detection import Detection
from studio.data.lab.chunks import ChunkPlace
from studio.data.lab.look import open_whole
from studio.data.lab.report import Statistics
from studio.data.lab.scan import require_rows
from studio.data.lab.statistics import statistics_of
from studio.data.lab.whole import Whole
from studio.data.records import LEFT_OUT, Problem
from studio.data.samples import RowFault
from studio.data.split import Split
from studio.errors import DataError, Stopped
from studio.files import disk_errors_told, file_written_whole
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Recipe
from studio.settings import Settings

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

_PROBLEMS_IN_MESSAGE = 3
_SKIPPED_KEPT = 1000


@dataclass
class Prepared:
    """`train` and `eval` have the columns of the method, see `columns.py`.

    `skipped` has one Problem per record that is not taught, at most a thousand, `skipped_count`
    counts all. `chat_template` is the one that was rendered with; save it with the adapter so
    that chat renders the same.
    """

    train: datasets.Dataset
    eval: datasets.Dataset | None
    skipped: list[Problem]
    skipped_count: int
    statistics: Statistics
    chat_template: str
    whole: Whole = field(repr=False)
    """The set itself, for those who ask for the text of held-out records."""


def prepare(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, settings: Settings, *,
    progress: Progress = silent, stop: ShouldStop = never,
) -> Prepared:
    """Read, render, and split the data of `recipe`.

    Raises DataError where nothing can be taught, naming the first problems, and Stopped.
    """
    columns = columns_of(recipe.training.method)
    whole = open_whole(recipe.taught_data, settings, tokenizer, progress=progress, stop=stop)
    require_rows(whole.store, recipe.data.source)
    for detection in whole.detections:
        _require_teachable(detection, recipe.training.method)
    if whole.template_error is not None:
        raise whole.template_error
    skipped, count = _skipped(whole)
    if not whole.teachable.any():
        total = sum(source.total for source in whole.sources)
        raise DataError(f"None of the {total} records of {recipe.data.source} can be taught: "
                        f"{_first(skipped)}", "Correct the records or choose other data.")
    if stop():
        raise Stopped("Preparing the data was stopped.")
    progress(Step("Splitting", 0, None))
    parts = whole.split
    if not len(parts.train):
        raise DataError("No record is left to train on: all that can be taught are held out "
                        f"({parts.how}).", "Hold out less, or choose other data.")
    train, held_out = _datasets(whole, parts, columns, stop)
    assert whole.encoder is not None
    return Prepared(
        train=train, eval=held_out, skipped=skipped, skipped_count=count,
        statistics=statistics_of(whole), chat_template=whole.encoder.template, whole=whole,
    )


def _datasets(
    whole: Whole, parts: Split, columns: Columns, stop: ShouldStop
) -> tuple[Any, Any]:
    train = _dataset(whole, parts.train, columns, stop)
    held_out = _dataset(whole, parts.held_out, columns, stop) if len(parts.held_out) else None
    return train, held_out


def _dataset(
    whole: Whole, rows: numpy.ndarray, columns: Columns, stop: ShouldStop
) -> datasets.Dataset:
    """The rows' columns, in a file that the trainer reads as it goes."""
    import datasets

    assert whole.tokens is not None
    how = f"{columns.name}{whole.data.max_length}"
    key = xxhash.xxh3_64_hexdigest(rows.tobytes() + how.encode())
    path = Path(whole.tokens.place(0).path).parent / f"part-{key}.arrow"
    if not path.is_file():
        with disk_errors_told(path.parent, "The tokens to train on"), \
                file_written_whole(path) as file:
            _write(whole, rows, columns, file, stop)
    return datasets.Dataset.from_file(str(path))


def _write(
    whole: Whole, rows: numpy.ndarray, columns: Columns, file: BinaryIO, stop: ShouldStop
) -> None:
    import pyarrow

    assert whole.tokens is not None
    times = numpy.bincount(rows, minlength=len(whole.store))
    with pyarrow.ipc.new_stream(file, columns.schema()) as writer:
        for place in whole.tokens.places():
            if stop():
                raise Stopped("Preparing the data was stopped.")
            wanted = times[place.first_row:place.first_row + place.rows]
            if wanted.any():
                writer.write_batch(_batch(whole, place, wanted, columns))


def _batch(whole: Whole, place: ChunkPlace, times: numpy.ndarray, columns: Columns) -> Any:
    """What the rows of one chunk become, each as often as `times` says."""
    import pyarrow

    table, schema = place.table(), columns.schema()
    made: list[tuple[Any, ...]] = []
    for at in numpy.flatnonzero(times):
        stored = _stored(whole, table, int(at), place.first_row, columns.needs_sample)
        made += list(columns.rows(stored, whole.data.max_length)) * int(times[at])
    values = list(zip(*made, strict=True)) or [()] * len(schema)
    return pyarrow.RecordBatch.from_arrays(
        [pyarrow.array(column, field.type) for column, field in zip(values, schema, strict=True)],
        schema=schema)


def _stored(
    whole: Whole, table: Any, at: int, first_row: int, needs_sample: bool
) -> Stored:
    sample = sample_of(whole, first_row + at) if needs_sample else None
    assert not isinstance(sample, RowFault)  # faulty rows are in no part
    other = table["other_ids"][at].as_py()
    return Stored(table["ids"][at].as_py(), _spans(table["loss"][at].as_py()), other,
                  None if other is None else _spans(table["other_loss"][at].as_py()), sample)


def _spans(flat: list[int]) -> list[tuple[int, int]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _skipped(whole: Whole) -> tuple[list[Problem], int]:
    """Why records are not taught: unreadable, faulty, or cut before the first learned token."""
    problems = [problem for problem in whole.problems if problem.kind in LEFT_OUT]
    problems += whole.fault_problems(_SKIPPED_KEPT)
    cut = numpy.flatnonzero(~whole.teachable & ~whole.faulty)
    problems += [_nothing_to_learn(whole, int(row)) for row in cut[:_SKIPPED_KEPT]]
    unread = sum(source.total - source.readable for source in whole.sources)
    return problems[:_SKIPPED_KEPT], unread + int((~whole.teachable).sum())


def _nothing_to_learn(whole: Whole, row: int) -> Problem:
    assert whole.lengths is not None
    length, first = int(whole.lengths.total[row]), int(whole.lengths.first_loss[row])
    place = whole.store.place(row)
    if first < length:
        return Problem(
            f"the answer begins after token {whole.data.max_length}, where the example is cut, so "
            "there is nothing left to learn.", place,
            f"Set data.max_length to {length} or more, or shorten the prompt.", "no_loss")
    return Problem(f"there is nothing to learn: none of its {length} tokens would carry loss.",
                   place, "Write a longer text or remove the record.", "no_loss")


def _require_teachable(detection: Detection, method: str) -> None:
    if detection.format is None:
        raise DataError(f"The data cannot be trained on: {_first(list(detection.problems))}",
                        detection.problems[0].hint if detection.problems else "")
    columns = columns_of(method)
    if detection.format not in columns.formats:
        others = methods_for(detection.format)
        right = f"Set training.method to {' or '.join(others)}, which learn from such data. " \
            if others else ""
        raise DataError(
            f"The data has the format {detection.format}, which training.method {method} cannot "
            f"learn from: {detection.why}",
            f"{right}{method} needs {columns.needs}: {', '.join(columns.formats)}. To read other "
            "columns as one of these, set data.format and data.columns.",
        )


def _first(problems: list[Problem]) -> str:
    more = len(problems) - _PROBLEMS_IN_MESSAGE
    shown = "; ".join(f"{p.where + ': ' if p.where else ''}{p.what}"
                      for p in problems[:_PROBLEMS_IN_MESSAGE])
    return shown + (f" (and {more} more)" if more > 0 else "")
