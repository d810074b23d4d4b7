"""Blocks of Arrow tables, which Parquet files, Arrow files and datasets of the Hub give alike.

Cut here without looking at a value; values become those of JSON where the block is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.data.reading.blocks import BLOCK_BYTES, BLOCK_ROWS
from studio.data.reading.json_rows import left_out, read_value, undecoded
from studio.data.reading.values import plain
from studio.data.records import Problem, Read

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a table in Arrow's stream format; `first_row` counts from 1."""

    data: bytes
    first_row: int
    prefix: str
    done: int

    def read(self) -> list[Read]:
        import pyarrow

        with pyarrow.ipc.open_stream(self.data) as reader:
            table = reader.read_all()
        brackets = str(table.schema).count("<") + 1
        is_plain = all(_is_plain(field.type) for field in table.schema)
        reads = []
        for number, row in enumerate(_rows(table), self.first_row):
            place = f"{self.prefix}row {number}"
            if isinstance(row, dict):
                reads.append(read_value(row if is_plain else plain(row), place, brackets))
            else:
                reads.append(_odd(row, place))
        return reads


def table_block(
    batch: pyarrow.RecordBatch | pyarrow.Table, first_row: int, prefix: str, done: int
) -> Table:
    """A block of the rows of `batch` and no others, even where it is a slice."""
    import pyarrow

    names = unique_names(batch.schema.names)
    if names != batch.schema.names:
        batch = batch.rename_columns(names)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write(batch)
    return Table(sink.getvalue().to_pybytes(), first_row, prefix, done)


def slices(batch: Any) -> Iterator[Any]:
    """A record batch or table in pieces of about a megabyte, at most BLOCK_ROWS rows each."""
    rows = batch.num_rows
    step = rows_per_block(batch.nbytes, rows)
    for start in range(0, rows, step):
        yield batch.slice(start, step)


def rows_per_block(size_bytes: int, rows: int) -> int:
    """How many of `rows` equal rows, which take `size_bytes`, fit a block; at least one."""
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES * rows // max(1, size_bytes)))


def unique_names(names: list[str]) -> list[str]:
    """Every name once: a second "a" in the third column becomes "a 3"."""
    unique: list[str] = []
    for number, name in enumerate(names, start=1):
        unique.append(f"{name} {number}" if name in unique else name)
    return unique


def schema_notes(schema: pyarrow.Schema, where: str) -> list[Problem]:
    """What a person should know of the columns before reading them."""
    notes = []
    for old, new in zip(schema.names, unique_names(schema.names), strict=True):
        if old != new:
            notes.append(Problem(
                f"two columns are called {old!r}; the later one is read as {new!r}.", where,
                "Give every column a name of its own.", "doubled_column"))
    binary = [field.name for field in schema if "binary" in str(field.type)]
    if binary:
        notes.append(Problem(
            f"{', '.join(map(repr, binary[:8]))} hold bytes, such as pictures or sounds; each is "
            "read as a note of its size.", where,
            "Only text can be taught here; leave such columns out of the format.", "bytes"))
    return notes


def _rows(table: pyarrow.Table) -> list[dict[str, Any] | Exception]:
    """The rows; one whose values Python cannot hold is the error instead."""
    try:
        return list(table.to_pylist())
    except (UnicodeDecodeError, ValueError, OverflowError):
        return [_row(table.slice(number, 1)) for number in range(table.num_rows)]


def _row(table: pyarrow.Table) -> dict[str, Any] | Exception:
    try:
        return dict(table.to_pylist()[0])
    except (UnicodeDecodeError, ValueError, OverflowError) as error:
        return error


def _odd(error: Exception, place: str) -> Read:
    if isinstance(error, UnicodeDecodeError):
        return undecoded(place)
    return left_out(f"a value cannot be read: {str(error).strip('.')}.", place,
                    "Correct or remove this record.")


def _is_plain(kind: pyarrow.DataType) -> bool:
    """Whether all values of this type are those of JSON already."""
    import pyarrow.types as types

    if types.is_struct(kind):
        return all(_is_plain(field.type) for field in kind)
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_plain(kind.value_type)
    return any(is_kind(kind) for is_kind in (
        types.is_string, types.is_large_string, types.is_integer, types.is_boolean,
        types.is_null))
