"""One record from every side: raw, as turns, and as the tokens that the trainer gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.data.convert import to_sample
from studio.data.detection import Detection
from studio.data.dividing import divided
from studio.data.encode import Encoded, EncodedPair, encode
from studio.data.encoder import Encoder
from studio.data.example import Example, example_of, part_of
from studio.data.lab.first_page import Page
from studio.data.records import Row
from studio.data.samples import Judged, PromptOnly, RowFault, Sample
from studio.recipe import Data

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole


ROWS_SHOWN = 3
"""Of a text that is divided into rows."""


@dataclass(frozen=True)
class Record:
    """Record `number`, counted from 1. `total` is None while the set is still being read.

    `sample` is None with a `fault`. `examples` are (title, example) pairs: one, the chosen and the
    rejected answer, or the first rows of a divided text; none without a tokenizer.
    `ids` and the special tokens are for showing.
    """

    number: int
    total: int | None
    place: str
    row: Row
    sample: Sample | None = None
    fault: RowFault | None = None
    examples: tuple[tuple[str, Example], ...] = ()
    special_tokens: frozenset[str] = frozenset()


def record_of_whole(whole: Whole, number: int) -> Record | None:
    """Record `number` of a set, brought into range; None where there is none."""
    total = len(whole.store)
    if not total:
        return None
    at = min(max(number, 1), total) - 1
    detection = whole.detections[int(whole.store.source_of[at])]
    return _record(at + 1, total, whole.store.place(at), whole.store.row(at), detection,
                   whole.encoder, whole.data)


def record_of_page(
    page: Page, number: int, encoder: Encoder | None, data: Data
) -> Record | None:
    """Record `number` of the first rows, brought into range; None where there is none."""
    if not page.rows:
        return None
    at = min(max(number, 1), len(page.rows)) - 1
    return _record(at + 1, len(page.rows) if page.is_all else None, page.places[at],
                   page.rows[at], page.detection, encoder, data)


def _record(
    number: int, total: int | None, place: str, row: Row, detection: Detection,
    encoder: Encoder | None, data: Data,
) -> Record:
    try:
        sample = to_sample(row, detection)
    except RowFault as fault:
        return Record(number, total, place, row, fault=fault)
    if encoder is None:
        return Record(number, total, place, row, sample)
    [encoded] = encode(encoder, [sample], with_offsets=True)
    if isinstance(encoded, RowFault):
        return Record(number, total, place, row, sample, fault=encoded)
    return Record(number, total, place, row, sample, examples=_examples(sample, encoded, data),
                  special_tokens=encoder.control_tokens)


def _examples(
    sample: Sample, encoded: Encoded | EncodedPair, data: Data
) -> tuple[tuple[str, Example], ...]:
    if isinstance(encoded, EncodedPair):
        pairs = (("chosen", encoded.chosen), ("rejected", encoded.rejected))
        return tuple((title, example_of(one, data.max_length)) for title, one in pairs)
    if not data.divides:
        return ((_title(sample), example_of(encoded, data.max_length)),)
    rows = divided(len(encoded.ids), data.max_length)
    return tuple((f"row {number} of {len(rows):,}", part_of(encoded, start, end))
                 for number, (start, end) in enumerate(rows[:ROWS_SHOWN], start=1))


def _title(sample: Sample) -> str:
    if isinstance(sample, Judged):
        return "good answer" if sample.label else "bad answer"
    return "prompt" if isinstance(sample, PromptOnly) else "example"
