"""From records to rendered examples, with a Problem for every record that gives none.

The one loop over rows; the trainer's data and the report are both made from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.data.conversations import to_messages
from studio.data.detection import Detection
from studio.data.records import Problem, Records
from studio.data.render import NO_LOSS, Example, render
from studio.errors import DataError, Stopped
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Data

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ROWS_PER_REPORT = 100


@dataclass(frozen=True)
class Rendered:
    """What one record gave: an example or the problem why not, never both."""

    index: int
    example: Example | None
    problem: Problem | None


def render_all(
    records: Records, detection: Detection, tokenizer: PreTrainedTokenizerBase, data: Data, *,
    progress: Progress = silent, stop: ShouldStop = never,
) -> Iterator[Rendered]:
    """Render every record in order. Raises Stopped when asked to stop."""
    total = len(records.rows)
    for index, place in enumerate(records.places):
        if index % _ROWS_PER_REPORT == 0:
            if stop():
                raise Stopped("Preparing the data was stopped.")
            progress(Step("Tokenising", index, total, "examples"))
        yield _render_one(records, index, place, detection, tokenizer, data)
    progress(Step("Tokenising", total, total, "examples"))


def _render_one(
    records: Records, index: int, place: str, detection: Detection,
    tokenizer: PreTrainedTokenizerBase, data: Data,
) -> Rendered:
    try:
        conversation = to_messages(records.rows[index], detection)
        example = render(conversation, tokenizer, data)
    except DataError as error:
        return Rendered(index, None, Problem(error.message, place, error.hint))
    if example.loss_tokens:
        return Rendered(index, example, None)
    return Rendered(index, None, _nothing_to_learn(example, place, data))


def _nothing_to_learn(example: Example, place: str, data: Data) -> Problem:
    if example.truncated:
        length = len(example.input_ids) + example.cut_tokens
        return Problem(
            f"the answer begins after token {data.max_length}, where the example is cut, so "
            "there is nothing left to learn.", place,
            f"Set data.max_length to {length} or more, or shorten the prompt.",
        )
    tokens = sum(label != NO_LOSS for label in example.labels)
    return Problem(f"there is nothing to learn: {tokens} of {len(example.labels)} tokens "
                   "would carry loss.", place, "Write a longer text or remove the record.")
