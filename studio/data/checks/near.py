"""Whether two rows are near duplicates, judged by their texts.

Rows made from one template differ in a name, a number, or the answer, and are no duplicates. So
what many rows share is not compared, the prompt and the answer must each be alike, and both rows
must hold the same numbers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

from studio.data.checks.rows import MOST_WORDS
from studio.data.checks.samples import sample_of
from studio.data.checks.texts import prompt_and_answer
from studio.data.checks.words import shingles_of, words_of
from studio.data.samples import Judged, RowFault, Sample

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole

LEAST_SIMILARITY = 0.75
"""Jaccard similarity of what is compared. One word changed in 20 leaves 0.81, in 40 0.90."""

_SAMPLE = 1000
_COMMON_SHARE, _COMMON_LEAST = 0.02, 8
"""A shingle is common where so many of the sampled rows have it; natural language's own pairs
("of the") are among them, which does no harm."""

_AT_ONCE = 4000


@dataclass(frozen=True, slots=True)
class Compared:
    """The shingles (their hashes) of prompt and answer, and what must be equal."""

    prompt: frozenset[int]
    answer: frozenset[int]
    fixed: tuple[frozenset[str], bool | None]


def are_near(whole: Whole, groups: numpy.ndarray, pairs: numpy.ndarray) -> numpy.ndarray:
    """Whether each pair of rows is a near duplicate, bool. `groups` are the exact ones, so that
    many copies of one row make nothing common."""
    common = common_shingles(whole, numpy.unique(groups)) if len(pairs) else frozenset()
    near = numpy.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), _AT_ONCE):
        part = pairs[start: start + _AT_ONCE]
        # In the order of the rows, so that each chunk of the store is read once.
        texts = {int(row): _compared_row(whole, int(row)) for row in numpy.unique(part)}
        near[start: start + len(part)] = [
            _are_near(texts[one], texts[other], common) for one, other in part.tolist()]
    return near


def common_shingles(whole: Whole, rows: numpy.ndarray) -> frozenset[int]:
    """What many of these rows share: the wording of a template, found in at most 1,000 of them."""
    step = max(1, len(rows) // _SAMPLE)
    looked_at = rows[::step][:_SAMPLE]
    counts: Counter[int] = Counter()
    for row in looked_at.tolist():
        compared = _compared_row(whole, row)
        if compared is not None:
            counts.update(compared.prompt | compared.answer)
    least = max(_COMMON_LEAST, _COMMON_SHARE * len(looked_at))
    return frozenset(shingle for shingle, count in counts.items() if count >= least)


def compared(sample: Sample) -> Compared:
    """What of a sample is compared with others."""
    prompt, answer = (words_of(" ".join(texts))[:MOST_WORDS]
                      for texts in prompt_and_answer(sample))
    numbers = frozenset(word for word in [*prompt, *answer] if any(map(str.isdigit, word)))
    label = sample.label if isinstance(sample, Judged) else None
    return Compared(_hashes(prompt), _hashes(answer), (numbers, label))


def _compared_row(whole: Whole, row: int) -> Compared | None:
    sample = sample_of(whole, row)
    return None if isinstance(sample, RowFault) else compared(sample)


def _hashes(words: list[str]) -> frozenset[int]:
    return frozenset(map(hash, shingles_of(words)))


def _are_near(
    one: Compared | None, other: Compared | None, common: frozenset[int]
) -> bool:
    if one is None or other is None or one.fixed != other.fixed:
        return False
    return _alike(one.prompt, other.prompt, common) and _alike(one.answer, other.answer, common)


def _alike(one: frozenset[int], other: frozenset[int], common: frozenset[int]) -> bool:
    """Jaccard similarity, but what both share and many others too is no likeness. What only one
    of them has counts however common it is: "Oslo" in the place of "Rome" is a difference."""
    shared = len((one & other) - common)
    return shared >= LEAST_SIMILARITY * (shared + len(one ^ other))
