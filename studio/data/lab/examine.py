"""The second pass over a store: every row as a sample, its checks, and its tokens.

Works chunk by chunk on worker processes and leaves three files: facts per row, faults, and token
chunks. What was examined before in the same way is used again; changing the template or what
carries loss makes new tokens only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import xxhash

from studio.data.checks.rows import check_rows, checks_schema
from studio.data.convert import to_sample
from studio.data.detection import Detection
from studio.data.encode import Encoded, EncodedPair, encode
from studio.data.encoder import Encoder
from studio.data.lab.chunks import ChunkPlace, ChunkWriter, packed, unpacked
from studio.data.lab.store import Store, load_row
from studio.data.lab.tables import TableWriter
from studio.data.lab.workers import mapped, worker_count
from studio.data.records import Row
from studio.data.samples import RowFault, Sample
from studio.files import disk_errors_told, folder_written_whole
from studio.progress import Progress, ShouldStop, Step

if TYPE_CHECKING:
    import pyarrow

VERSION = 3
"""Of what lies in the files; raise it when checks or rendering give something else."""
NO_TOKEN = 2**32 - 1
"""`first_loss` of a row without a token to learn."""
CHECKS_FILE = "checks.arrow"
FAULTS_FILE = "faults.arrow"
TOKENS_FILE = "tokens.bin"
LENGTHS_FILE = "lengths.npy"


@dataclass(frozen=True)
class Context:
    """The same for every chunk. `behind[i]` is the first row behind source i."""

    detections: tuple[Detection, ...]
    behind: tuple[int, ...]
    wants_checks: bool
    encoder: Encoder | None


@dataclass(frozen=True)
class Examined:
    """What a worker made of one chunk. `lengths` has shape (rows, 3): all tokens, number of the
    first learned one, learned ones."""

    rows: int
    checks: bytes
    faults: bytes
    token_faults: bytes
    tokens: bytes
    lengths: numpy.ndarray | None


def checks_folder(store: Store, detections: Sequence[Detection]) -> Path:
    """Where the facts of the rows lie, read in this way."""
    shapes = repr([(d.format, sorted(d.columns.items()), d.chosen) for d in detections])
    return store.folder / f"checks-{_key(shapes)}"


def tokens_folder(store: Store, detections: Sequence[Detection], encoder: Encoder) -> Path:
    """Where the tokens lie, read and encoded in this way."""
    return store.folder / f"tokens-{_key(checks_folder(store, detections).name)}" \
        f"-{encoder.fingerprint[:16]}"


def _key(text: str) -> str:
    return str(xxhash.xxh3_64_hexdigest(f"{VERSION}{text}".encode("utf-8", "surrogatepass")))


def examine(
    store: Store, detections: tuple[Detection, ...], encoder: Encoder | None, *,
    progress: Progress, stop: ShouldStop,
) -> None:
    """Leave the checks of every row, and with an `encoder` its tokens. Raises Stopped."""
    checks = checks_folder(store, detections)
    tokens = tokens_folder(store, detections, encoder) if encoder else None
    wants_checks = not checks.is_dir()
    wants_tokens = tokens is not None and not tokens.is_dir()
    if not (wants_checks or wants_tokens):
        return
    behind = tuple(numpy.cumsum([one.readable for one in store.facts.sources]).tolist())
    context = Context(detections, behind, wants_checks, encoder if wants_tokens else None)
    with disk_errors_told(store.folder, "What was found"), \
            _Outputs(checks if wants_checks else None, tokens if wants_tokens else None) as outputs:
        done = 0
        size = sum(place.end - place.start for place in store.chunks.places())
        what = "Tokenising" if wants_tokens else "Checking"
        # Rows are kept compressed, to about a quarter.
        for one in mapped(examine_chunk, context, store.chunks.places(),
                          workers=worker_count(4 * size), stop=stop):
            outputs.take(one)
            done += one.rows
            progress(Step(what, done, len(store), "rows"))
        outputs.finish()


class _Outputs:
    """The files while they are written: both folders appear whole, or not at all."""

    def __init__(self, checks: Path | None, tokens: Path | None) -> None:
        from contextlib import ExitStack

        self._stack = ExitStack()
        self._checks_target, self._tokens_target = checks, tokens
        self._lengths: list[numpy.ndarray] = []

    def __enter__(self) -> _Outputs:
        with self._stack as stack:
            if self._checks_target:
                folder = stack.enter_context(folder_written_whole(self._checks_target,
                                                                  first_wins=True))
                self._checks = stack.enter_context(
                    TableWriter(folder / CHECKS_FILE, checks_schema()))
                self._faults = stack.enter_context(
                    TableWriter(folder / FAULTS_FILE, faults_schema()))
            if self._tokens_target:
                folder = stack.enter_context(folder_written_whole(self._tokens_target,
                                                                  first_wins=True))
                self._tokens_folder = folder
                self._tokens = stack.enter_context(ChunkWriter(folder / TOKENS_FILE))
                self._token_faults = stack.enter_context(
                    TableWriter(folder / FAULTS_FILE, faults_schema()))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def take(self, one: Examined) -> None:
        if self._checks_target:
            self._checks.append(unpacked(one.checks))
            self._faults.append(unpacked(one.faults))
        if self._tokens_target and one.lengths is not None:
            self._tokens.append(one.tokens, one.rows)
            self._token_faults.append(unpacked(one.token_faults))
            self._lengths.append(one.lengths)

    def finish(self) -> None:
        """Write what is written at once."""
        if self._tokens_target:
            lengths = numpy.concatenate(self._lengths) if self._lengths \
                else numpy.zeros((0, 3), numpy.uint32)
            numpy.save(self._tokens_folder / LENGTHS_FILE, lengths)


def examine_chunk(context: Context, place: ChunkPlace) -> Examined:
    """Convert, check, and encode the rows of one chunk; runs on a worker."""
    rows = [load_row(text.as_py()) for text in place.table()["row"]]
    samples = convert_rows(rows, place.first_row, context)
    checks = faults = token_faults = tokens = b""
    lengths = None
    if context.wants_checks:
        checks = packed(check_rows(rows, samples))
        faults = packed(_faults(samples, place.first_row))
    if context.encoder is not None:
        encoded = encode(context.encoder, samples)
        new = [one if not isinstance(sample, RowFault) else None
               for one, sample in zip(encoded, samples, strict=True)]
        token_faults = packed(_faults(new, place.first_row))
        tokens, lengths = packed(tokens_batch(encoded)), lengths_of(encoded)
    return Examined(len(rows), checks, faults, token_faults, tokens, lengths)


def convert_rows(
    rows: Sequence[Row], first_row: int, context: Context
) -> list[Sample | RowFault]:
    """Every row as its source's detection reads it, or why it cannot be."""
    found: list[Sample | RowFault] = []
    source = 0
    for number, row in enumerate(rows, start=first_row):
        while number >= context.behind[source]:
            source += 1
        try:
            found.append(to_sample(row, context.detections[source]))
        except RowFault as fault:
            # Without its traceback, which would keep the row and cannot be sent.
            found.append(fault.with_traceback(None))
    return found


def faults_schema() -> pyarrow.Schema:
    """row, kind, what, hint."""
    import pyarrow

    text = pyarrow.string()
    return pyarrow.schema([("row", pyarrow.uint32()), ("kind", text), ("what", text),
                           ("hint", text)])


def _faults(items: Sequence[Any], first_row: int) -> pyarrow.RecordBatch:
    import pyarrow

    found = [(first_row + at, item.kind, item.message, item.hint)
             for at, item in enumerate(items) if isinstance(item, RowFault)]
    columns = list(zip(*found, strict=True)) or [()] * 4
    schema = faults_schema()
    return pyarrow.RecordBatch.from_arrays(
        [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema)


def tokens_batch(encoded: Sequence[Encoded | EncodedPair | RowFault]) -> pyarrow.RecordBatch:
    """ids and loss (flat: first, behind, first, behind ...) of each row, null for a fault;
    `other_ids` and `other_loss` are the rejected answer of a pair."""
    import pyarrow

    first = [one.chosen if isinstance(one, EncodedPair) else one for one in encoded]
    other = [one.rejected if isinstance(one, EncodedPair) else None for one in encoded]
    arrays = []
    for column in (first, other):
        known = [one if isinstance(one, Encoded) else None for one in column]
        arrays += [_lists([one.ids if one else None for one in known]),
                   _lists([numpy.array(one.loss, numpy.int32).reshape(-1) if one else None
                           for one in known])]
    return pyarrow.RecordBatch.from_arrays(arrays, names=["ids", "loss", "other_ids", "other_loss"])


def _lists(values: Sequence[numpy.ndarray | None]) -> Any:
    """Arrays as an Arrow list column, through one flat array."""
    import pyarrow

    sizes = [len(value) if value is not None else 0 for value in values]
    offsets = numpy.zeros(len(values) + 1, dtype=numpy.int32)
    numpy.cumsum(sizes, out=offsets[1:])
    flat = numpy.concatenate([numpy.zeros(0, numpy.int32),
                              *(value for value in values if value is not None)])
    missing = numpy.array([value is None for value in values])
    return pyarrow.ListArray.from_arrays(
        pyarrow.array(offsets), pyarrow.array(flat),
        mask=pyarrow.array(missing) if missing.any() else None)


def lengths_of(encoded: Sequence[Encoded | EncodedPair | RowFault]) -> numpy.ndarray:
    """Shape (rows, 3), uint32. Of a pair the longer text counts, and the answer that begins
    later."""
    return numpy.array([_length(one) for one in encoded], dtype=numpy.uint32).reshape(-1, 3)


def _length(one: Encoded | EncodedPair | RowFault) -> tuple[int, int, int]:
    if isinstance(one, RowFault):
        return 0, NO_TOKEN, 0
    if isinstance(one, EncodedPair):
        pair = (_length(one.chosen), _length(one.rejected))
        return max(p[0] for p in pair), max(p[1] for p in pair), sum(p[2] for p in pair)
    first = one.first_loss
    return len(one.ids), NO_TOKEN if first is None else first, one.loss_tokens
