"""Reads Parquet files and datasets of the Hugging Face Hub into records.

Never runs code that comes with a dataset: the `datasets` library refuses scripts since its
version 4, and this module gives it no way to allow them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from studio.data.records import Records, Row
from studio.data.text_files import Tick
from studio.errors import DataError
from studio.settings import Settings

_BATCH_ROWS = 1024


def read_parquet(path: Path, records: Records, tick: Tick) -> None:
    """Every row of a Parquet file; raises DataError if it is damaged."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=_BATCH_ROWS):
                if _keep_all(batch.to_pylist(), records, tick):
                    return
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is not a readable Parquet file: {error}",
                        "Write it again, or download it again if it was cut off.") from error


def read_hub(source: str, split: str, settings: Settings, records: Records, tick: Tick) -> None:
    """A split of a Hub dataset, downloaded to the studio's cache; `name:config` picks a part."""
    import datasets

    name, _, config = source.partition(":")
    try:
        table = datasets.load_dataset(
            name, config or None, split=split, token=settings.hub_token,
            cache_dir=str(settings.cache / "datasets"),
            download_config=datasets.DownloadConfig(local_files_only=settings.offline),
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise _hub_error(source, split, settings, error) from error
    _keep_all(table, records, tick)


def _hub_error(source: str, split: str, settings: Settings, error: Exception) -> DataError:
    if settings.offline:
        return DataError(
            f"{source!r} is no file on this PC, and the studio is offline, so it cannot be "
            "looked for on the Hugging Face Hub.",
            "Give the path of a JSONL, JSON, CSV or Parquet file, or start without --offline.",
        )
    first_line = str(error).partition("\n")[0][:300]
    return DataError(
        f"{source!r} is no file on this PC and could not be read from the Hugging Face Hub "
        f"(split {split!r}): {first_line}",
        "Check the id (owner/name, or owner/name:config), the split, the network, and for a "
        "private dataset HF_TOKEN.",
    )


def _keep_all(rows: Iterable[Row], records: Records, tick: Tick) -> bool:
    for row in rows:
        records.keep({str(key): _plain(value) for key, value in row.items()},
                     f"row {records.total_rows + 1}")
        if tick(1):
            return True
    return False


def _plain(value: Any) -> Any:
    """NaN, which stands for an empty cell in tables, becomes None."""
    return None if isinstance(value, float) and math.isnan(value) else value
