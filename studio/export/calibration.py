"""What a model is to be measured on while its weights are rounded: the run's own training data.

Tokens as the trainer saw them, rendered with the chat template, one example behind the other in
rows of equal length. Held-out records are not among them: those judge the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from studio.data.lab.look import open_whole
from studio.data.lab.scan import require_rows
from studio.errors import DataError
from studio.progress import Progress, ShouldStop, never, silent
from studio.recipe import Data
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.data.lab.whole import Whole
    from studio.export.origin import Origin

_SEED = 0


def calibration_data(origin: Origin) -> Data | None:
    """The data that a run learned from; None for an adapter that belongs to no run."""
    run = origin.run
    return run.recipe.taught_data if run is not None else None


def calibration_rows(
    data: Data, tokenizer: PreTrainedTokenizerBase, settings: Settings, *, rows: int,
    row_tokens: int, progress: Progress = silent, stop: ShouldStop = never,
) -> list[list[int]]:
    """At most `rows` rows of `row_tokens` token ids, of examples drawn at random, always the same.

    Data that do not fill one row make one shorter row. Raises DataError where the data are gone or
    teach nothing, and Stopped.
    """
    whole = open_whole(data, settings, tokenizer, progress=progress, stop=stop)
    require_rows(whole.store, data.source)
    if whole.template_error is not None:
        raise whole.template_error
    if whole.tokens is None or not len(whole.split.train):
        raise DataError(f"None of the records of {data.source} can be used to measure the model "
                        "on.", "Look at the Dataset tab for the reasons, or choose other data.")
    ids = _drawn(whole, rows * row_tokens)
    if len(ids) < row_tokens:
        return [ids]
    return [ids[start:start + row_tokens]
            for start in range(0, len(ids) - row_tokens + 1, row_tokens)]


def _drawn(whole: Whole, tokens: int) -> list[int]:
    """The tokens of training examples in random order, cut as the trainer cuts them."""
    assert whole.tokens is not None and whole.lengths is not None
    drawn = numpy.random.default_rng(_SEED).permutation(numpy.unique(whole.split.train))
    cut = numpy.minimum(whole.lengths.total[drawn], whole.data.max_length)
    wanted = drawn[:int(numpy.searchsorted(numpy.cumsum(cut), tokens)) + 1]
    texts = _texts(whole, wanted)
    return [token for row in wanted.tolist() for token in texts[row]][:tokens]


def _texts(whole: Whole, rows: numpy.ndarray) -> dict[int, list[int]]:
    """Row -> its token ids; every chunk is read once."""
    assert whole.tokens is not None
    found: dict[int, list[int]] = {}
    for place in whole.tokens.places():
        inside = rows[(rows >= place.first_row) & (rows < place.first_row + place.rows)]
        if len(inside):
            ids = place.table()["ids"]
            for row in inside.tolist():
                found[row] = ids[row - place.first_row].as_py()[:whole.data.max_length]
    return found
