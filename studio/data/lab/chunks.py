"""A file of chunks: many small Arrow tables one behind the other, and where each begins.

Written once and in order, read at any row while only one chunk is in memory. A chunk travels
from a worker to the file as it is, without being unpacked on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy

if TYPE_CHECKING:
    import pyarrow

_INDEX_SUFFIX = ".index.npy"


def packed(batch: pyarrow.RecordBatch) -> bytes:
    """A record batch as the bytes of one chunk, compressed."""
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
    with pyarrow.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def unpacked(chunk: bytes) -> pyarrow.Table:
    """The table in a chunk."""
    import pyarrow

    with pyarrow.ipc.open_stream(chunk) as reader:
        return reader.read_all()


class ChunkWriter:
    """Appends chunks to `path`; complete only after a block that ended well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._index: list[tuple[int, int]] = [(0, 0)]

    def __enter__(self) -> ChunkWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.close()
        if kind is None:
            numpy.save(_index_path(self._path), numpy.array(self._index, dtype=numpy.int64))

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._index[-1][1]

    def append(self, chunk: bytes, rows: int) -> None:
        """Add a chunk that holds `rows` rows; one without rows is left out."""
        if rows:
            self._file.write(chunk)
            end, before = self._index[-1]
            self._index.append((end + len(chunk), before + rows))


@dataclass(frozen=True)
class ChunkPlace:
    """Where one chunk lies: in which file, and which rows it holds. Small enough to send."""

    path: str
    start: int
    end: int
    first_row: int
    rows: int

    def table(self) -> pyarrow.Table:
        """Read and unpack it."""
        with Path(self.path).open("rb") as file:
            file.seek(self.start)
            return unpacked(file.read(self.end - self.start))


class Chunks:
    """The chunks that a ChunkWriter left at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index: Any = numpy.load(_index_path(path))

    @property
    def rows(self) -> int:
        """Rows in all chunks together."""
        return int(self._index[-1][1])

    def __len__(self) -> int:
        return len(self._index) - 1

    def place(self, number: int) -> ChunkPlace:
        """Where chunk `number` lies."""
        (start, first), (end, behind) = self._index[number], self._index[number + 1]
        return ChunkPlace(str(self._path), int(start), int(end), int(first), int(behind - first))

    def places(self) -> Iterator[ChunkPlace]:
        """All chunks in order."""
        return map(self.place, range(len(self)))

    def holding(self, row: int) -> int:
        """The number of the chunk that holds `row`."""
        return int(numpy.searchsorted(self._index[:, 1], row, side="right")) - 1


def _index_path(path: Path) -> Path:
    return path.with_name(path.name + _INDEX_SUFFIX)
