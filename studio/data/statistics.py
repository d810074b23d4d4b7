"""How many examples there are and how long they are, in tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from studio.data.records import Row
from studio.data.render import Example


@dataclass(frozen=True)
class Statistics:
    """Lengths are in tokens and before the cut at max_length; None where no tokenizer was given.

    `without_answer` counts records that have no token to learn, `duplicates` records that
    repeat an earlier one exactly.
    """

    examples: int = 0
    duplicates: int = 0
    tokens_min: int | None = None
    tokens_median: float | None = None
    tokens_max: int | None = None
    tokens_total: int | None = None
    loss_tokens: int | None = None
    truncated: int | None = None
    without_answer: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def statistics_of(
    examples: Sequence[Example], *, duplicates: int = 0, without_answer: int = 0
) -> Statistics:
    """Statistics of rendered examples."""
    if not examples:
        return Statistics(duplicates=duplicates, without_answer=without_answer)
    lengths = [len(example.input_ids) + example.cut_tokens for example in examples]
    return Statistics(
        examples=len(examples), duplicates=duplicates,
        tokens_min=min(lengths), tokens_median=median(lengths), tokens_max=max(lengths),
        tokens_total=sum(lengths), loss_tokens=sum(example.loss_tokens for example in examples),
        truncated=sum(example.truncated for example in examples), without_answer=without_answer,
    )


def duplicate_indices(rows: Sequence[Row]) -> list[int]:
    """Indices of rows that repeat an earlier one exactly, whatever the order of their columns."""
    seen: set[bytes] = set()
    repeated = []
    for index, row in enumerate(rows):
        text = json.dumps(row, sort_keys=True, default=str, ensure_ascii=False)
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if digest in seen:
            repeated.append(index)
        seen.add(digest)
    return repeated
