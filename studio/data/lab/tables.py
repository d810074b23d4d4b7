"""Arrow tables on disk that are written piece by piece and read without loading them.

For the small columns that exist once per row: facts, faults. Larger things are chunks.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


class TableWriter:
    """Writes record batches of one schema to `path`."""

    def __init__(self, path: Path, schema: pyarrow.Schema) -> None:
        import pyarrow

        self._writer = pyarrow.ipc.new_file(str(path), schema)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._writer.close()

    def append(self, table: pyarrow.Table) -> None:
        """Add the rows of `table`."""
        if table.num_rows:
            self._writer.write_table(table)


def open_table(path: Path) -> pyarrow.Table:
    """The table at `path`; the system reads from disk what is looked at."""
    import pyarrow

    # A mapping that is open keeps Windows from deleting the file, so it is the table's to hold.
    with pyarrow.memory_map(str(path)) as file:
        return pyarrow.ipc.open_file(file).read_all()
