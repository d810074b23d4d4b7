"""Facts about every row, found on the worker processes while they read it.

Columns of a fixed size only, so that a million rows are a memory-mapped table of 60 MB that
numpy looks at without copying. What the facts mean is said in `findings.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import IntFlag
from typing import TYPE_CHECKING, Any

import numpy
import orjson
import xxhash

from studio.data.checks.mojibake import has_lost_characters, is_mojibake
from studio.data.checks.personal import find_personal
from studio.data.checks.texts import prompt_and_answer, taught_texts, turns_of
from studio.data.checks.words import shingles_of, words_of
from studio.data.records import Row
from studio.data.samples import (
    Conversation,
    Judged,
    PlainText,
    Preference,
    PromptOnly,
    RowFault,
    Sample,
    Turn,
)

if TYPE_CHECKING:
    import pyarrow

SIGNATURE_BYTES = 32
"""One byte per permutation: the lowest of each MinHash value (b-bit MinHash, Li and König 2010)."""

MOST_WORDS = 10_000
"""Words of a row from which its signature is made: enough to tell texts apart."""

_SEED = 42


class Flag(IntFlag):
    """Bits of the column `flags`."""

    FAULT = 1
    """The row is none that can be taught; the table of faults says why."""
    LOST_CHARACTERS = 2
    MOJIBAKE = 4
    EMAIL = 8
    PHONE = 16
    CARD = 32
    KEY = 64
    IDENTICAL_PAIR = 128
    JUDGED = 256
    """The row has a KTO label."""
    GOOD = 512
    """The KTO label is true."""
    STRAY_BLANKS = 1024
    """An answer begins or ends with blanks or line breaks."""


PERSONAL = Flag.EMAIL | Flag.PHONE | Flag.CARD | Flag.KEY
_FLAG_OF = {"email": Flag.EMAIL, "phone": Flag.PHONE, "card": Flag.CARD, "key": Flag.KEY}


def checks_schema() -> pyarrow.Schema:
    """One row per stored row. `content`, `prompt` and `words` are xxh64 of what is taught, of what
    is asked, and of the words without case and punctuation; `signature` is the MinHash of the
    words. Null where there is nothing such."""
    import pyarrow

    return pyarrow.schema([
        ("content", pyarrow.uint64()), ("prompt", pyarrow.uint64()), ("flags", pyarrow.uint32()),
        ("turns", pyarrow.uint32()), ("words", pyarrow.uint64()),
        ("signature", pyarrow.binary(SIGNATURE_BYTES)),
    ])


def check_rows(
    rows: Sequence[Row], samples: Sequence[Sample | RowFault]
) -> pyarrow.RecordBatch:
    """The facts of some rows, in their order; `samples[i]` is what `rows[i]` means.

    About 70 microseconds for a row of 500 characters.
    """
    import pyarrow

    facts = [_facts(row, sample) for row, sample in zip(rows, samples, strict=True)]
    columns: list[Any] = [[fact[number] for fact in facts] for number in range(4)]
    columns += _compared(samples)
    schema = checks_schema()
    return pyarrow.record_batch(
        [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def content_hash(row: Row, sample: Sample | RowFault) -> int:
    """Equal for two rows that teach the same, whatever their other columns say.

    A row that cannot be taught is compared as it stands.
    """
    return xxhash.xxh64_intdigest(_canonical(row if isinstance(sample, RowFault) else sample))


def signatures(token_lists: Sequence[Sequence[str]]) -> numpy.ndarray:
    """MinHash signatures of sets of shingles, uint8, (sets, SIGNATURE_BYTES)."""
    import rensa

    matrix = rensa.RMinHash.digest_matrix_from_token_sets(
        token_lists, num_perm=SIGNATURE_BYTES, seed=_SEED)
    return numpy.array(matrix.to_rows(), dtype=numpy.uint32).astype(numpy.uint8)


def _facts(row: Row, sample: Sample | RowFault) -> tuple[int, int | None, int, int]:
    """(content, prompt, flags, turns) of one row."""
    flags = _text_flags("\n".join(taught_texts(row, sample)))
    if isinstance(sample, RowFault):
        return content_hash(row, sample), None, int(flags | Flag.FAULT), 0
    flags |= sample_flags(sample)
    return content_hash(row, sample), _prompt_hash(sample), int(flags), len(turns_of(sample))


def _text_flags(text: str) -> Flag:
    flags = Flag(0)
    for match in find_personal(text):
        flags |= _FLAG_OF[match.kind]
    if not text.isascii():
        flags |= Flag.LOST_CHARACTERS if has_lost_characters(text) else 0
        flags |= Flag.MOJIBAKE if is_mojibake(text) else 0
    return flags


def sample_flags(sample: Sample) -> Flag:
    """What the kind of sample and its answers say, the texts themselves left out."""
    flags = Flag(0)
    if isinstance(sample, Preference) and sample.chosen == sample.rejected:
        flags |= Flag.IDENTICAL_PAIR
    if isinstance(sample, Judged):
        flags |= Flag.JUDGED | (Flag.GOOD if sample.label else 0)
    answers = (turn.get("content") for turn in turns_of(sample) if turn["role"] == "assistant")
    if any(isinstance(answer, str) and answer != answer.strip() for answer in answers):
        flags |= Flag.STRAY_BLANKS
    return flags


def _prompt_hash(sample: Sample) -> int | None:
    """Of everything before the last answer; None for plain text."""
    turns = _prompt_turns(sample)
    return xxhash.xxh64_intdigest(_canonical(turns)) if turns else None


def _prompt_turns(sample: Sample) -> list[Turn]:
    match sample:
        case Conversation():
            last = max((number for number, turn in enumerate(sample.turns)
                        if turn["role"] == "assistant"), default=len(sample.turns))
            return sample.turns[:last]
        case PlainText():
            return []
        case Preference() | Judged() | PromptOnly():
            return sample.prompt


def _compared(
    samples: Sequence[Sample | RowFault]
) -> tuple[list[int | None], list[bytes | None]]:
    """(hash of the words, signature) of each sample."""
    hashes: list[int | None] = [None] * len(samples)
    found: list[bytes | None] = [None] * len(samples)
    shingles: dict[int, list[str]] = {}
    for number, sample in enumerate(samples):
        if not isinstance(sample, RowFault):
            prompt, answer = (words_of(" ".join(part)) for part in prompt_and_answer(sample))
            if prompt or answer:
                label = str(sample.label) if isinstance(sample, Judged) else ""
                said = "\0".join([" ".join(prompt), " ".join(answer), label])
                hashes[number] = xxhash.xxh64_intdigest(said.encode("utf-8", "surrogatepass"))
                shingles[number] = shingles_of([*prompt, *answer][:MOST_WORDS])
    if shingles:
        for number, signature in zip(shingles, signatures([*shingles.values()]), strict=True):
            found[number] = signature.tobytes()
    return hashes, found


def _canonical(value: Any) -> bytes:
    """The same bytes for the same value, whatever the order of its keys."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # whole numbers beyond 64 bits
        value = vars(value) if hasattr(value, "__dict__") else value
        return json.dumps(value, sort_keys=True, default=str).encode("utf-8")
