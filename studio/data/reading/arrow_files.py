"""Parquet, Arrow and Feather files, a batch at a time."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from studio.data.reading.blocks import BLOCK_BYTES, Block, note
from studio.data.reading.opened import COMPRESSED, DataFile, open_bytes
from studio.data.reading.tables import rows_per_block, schema_notes, slices, table_block
from studio.errors import DataError

_FILE_MAGIC = b"ARROW1\0\0"
_OLD_FEATHER = b"FEA1"


def parquet_blocks(file: DataFile) -> Iterator[Block]:
    """Every row of a Parquet file. Raises DataError where it is damaged."""
    import pyarrow.parquet

    # Not pre-buffered: that would hold a whole row group, which may be the whole file.
    with _damage(file, "Parquet"), _seekable(file) as content, pyarrow.parquet.ParquetFile(
            content, buffer_size=BLOCK_BYTES, pre_buffer=False) as table:
        yield from _notes(table.schema_arrow, file)
        rows = table.metadata.num_rows
        step = rows_per_block(sum(table.metadata.row_group(number).total_byte_size
                                  for number in range(table.num_row_groups)), rows)
        read = 0
        for batch in table.iter_batches(batch_size=step):
            first = read + 1
            read += batch.num_rows
            yield table_block(batch, first, file.prefix, _done(file, read / rows))


def arrow_blocks(file: DataFile) -> Iterator[Block]:
    """Every row of an Arrow file or stream. Raises DataError where it is damaged."""
    with _damage(file, "Arrow"), ExitStack() as stack:
        first = 1
        for batch, done in _batches(file, stack):
            if first == 1:
                yield from _notes(batch.schema, file)
            # Offsets that point nowhere would end the program, not raise an error.
            batch.validate(full=True)
            for piece in slices(batch):
                yield table_block(piece, first, file.prefix, done)
                first += piece.num_rows


def _batches(file: DataFile, stack: ExitStack) -> Iterator[tuple[Any, int]]:
    """(batch, how far into the source its end lies) of both formats that end in .arrow."""
    import pyarrow

    if file.path.suffix.lower() in COMPRESSED:
        opened = stack.enter_context(open_bytes(file, is_text=False))
        head = opened.peek()
        source = pyarrow.PythonFile(io.BufferedReader(opened, BLOCK_BYTES), "r")
        for batch in _stream(source, file, head):
            yield batch, opened.position
        return
    with file.path.open("rb") as raw:
        head = raw.read(len(_FILE_MAGIC))
    if not head:
        return
    mapped = stack.enter_context(pyarrow.memory_map(str(file.path)))
    if head == _FILE_MAGIC:
        reader = stack.enter_context(pyarrow.ipc.open_file(mapped))
        for number in range(reader.num_record_batches):
            yield (reader.get_batch(number),
                   _done(file, (number + 1) / reader.num_record_batches))
    else:
        for batch in _stream(mapped, file, head):
            yield batch, file.start_bytes + mapped.tell()


def _stream(source: Any, file: DataFile, head: bytes) -> Iterator[Any]:
    import pyarrow

    if head.startswith(_OLD_FEATHER):
        raise DataError(f"{file.name} is a Feather file of the first version, which is no longer "
                        "read.", "Write it again as Feather version 2, Parquet, or JSONL.")
    if head.startswith(_FILE_MAGIC):  # in a packed file: the rest can be read as a stream
        source.read(len(_FILE_MAGIC))
    with pyarrow.ipc.open_stream(source) as reader:
        yield from reader


def _notes(schema: Any, file: DataFile) -> Iterator[Block]:
    for problem in schema_notes(schema, file.prefix.strip()):
        yield note(problem, file.start_bytes)


def _done(file: DataFile, part: float) -> int:
    return file.start_bytes + int(file.path.stat().st_size * part)


@contextmanager
def _seekable(file: DataFile) -> Iterator[Any]:
    """The path, or what a packed file holds, unpacked on the disk: Parquet is read from its end."""
    if file.path.suffix.lower() not in COMPRESSED:
        yield file.path
        return
    with open_bytes(file, is_text=False) as opened, tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(opened, unpacked, BLOCK_BYTES)
        unpacked.seek(0)
        yield unpacked


@contextmanager
def _damage(file: DataFile, kind: str) -> Iterator[None]:
    """Turns what the library says of a damaged file into a sentence."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, ValueError, OSError) as error:  # ValueError: a name in it
        if isinstance(error, OSError) and error.errno:
            raise
        raise DataError(f"{file.name} is not a readable {kind} file: {error}",
                        "Write it again, or download it again if it was cut off.") from error
