"""Datasets of the Hugging Face Hub, read through the `datasets` library from the studio's cache.

Never runs code that comes with a dataset: the library refuses scripts since its version 4, and
this module gives it no way to allow them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.data.reading.blocks import Block, note
from studio.data.reading.tables import schema_notes, slices, table_block
from studio.errors import DataError, Stopped
from studio.progress import ShouldStop
from studio.settings import Settings

# A name without a slash has no dot: "orders.xls" is a file that is missing.
_SPEC = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}|[A-Za-z0-9][\w-]{0,95})"
                   r"(:(?P<config>[\w.-]+))?"
                   r"(#(?P<split>[\w.-]+(\[[\d:%+ -]*\])?))?")
_ROWS_AT_ONCE = 1000
_FIRST_PAGE_ROWS = 50


def is_hub_spec(spec: str) -> bool:
    """True for gpt2, owner/name, owner/name:config and owner/name:config#split."""
    return _SPEC.fullmatch(spec) is not None and ".." not in spec


@dataclass(frozen=True)
class HubPart:
    """One split of one configuration of a dataset. `revision` None is the newest."""

    name: str
    config: str | None
    split: str
    revision: str | None
    settings: Settings

    unit = "rows"
    total = None

    @property
    def identity(self) -> list[object]:
        """With the commits that were downloaded, as far as that can be seen without a network."""
        return [self.name, self.config, self.split, self.revision, *self._commits()]

    def blocks(self, stop: ShouldStop, first_page: bool) -> Iterator[Block]:
        """Downloads what is not here yet; with `first_page` only what its first rows need."""
        is_streamed = first_page and not self.settings.offline and not self._commits()
        dataset = self._load(is_streamed)
        tables = dataset.with_format("arrow").iter(
            _FIRST_PAGE_ROWS if is_streamed else _ROWS_AT_ONCE)
        first = 1
        while (table := self._next(tables)) is not None:
            if first == 1:
                yield from (note(problem, 0) for problem in schema_notes(table.schema, ""))
            for piece in slices(table):
                if stop():
                    raise Stopped("Reading the data was stopped.")
                yield table_block(piece, first, "", first + piece.num_rows - 1)
                first += piece.num_rows

    def _load(self, is_streamed: bool) -> Any:
        import datasets

        # A part of a split, train[:10%], begins like the split itself.
        split = self.split.partition("[")[0] if is_streamed else self.split
        try:
            return datasets.load_dataset(
                self.name, self.config, split=split, revision=self.revision,
                token=self.settings.hub_token, cache_dir=str(self._cache), streaming=is_streamed,
                download_config=datasets.DownloadConfig(local_files_only=self.settings.offline),
            )
        # RuntimeError: the data set needs a script of its own.
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise self._error(error) from error

    def _next(self, tables: Iterator[Any]) -> Any:
        """The next rows, which a stream downloads only now; None after the last."""
        import datasets
        import pyarrow

        try:
            return next(tables, None)
        except (OSError, ValueError, pyarrow.ArrowException,
                datasets.exceptions.DatasetsError) as error:
            raise self._error(error) from error

    @property
    def _cache(self) -> Path:
        return self.settings.cache / "datasets"

    def _commits(self) -> list[str]:
        """Folders of the cache, one a commit: owner___name/config/0.0.0/commit."""
        return sorted(str(path.relative_to(self._cache)) for path
                      in self._cache.glob(f"{self.name.replace('/', '___')}/*/*/*")
                      if path.is_dir() and not path.name.endswith(".incomplete"))

    def _error(self, error: Exception) -> DataError:
        if self.settings.offline:
            return DataError(
                f"{self.name!r} is no file on this PC, and the studio is offline, so it cannot be "
                "looked for on the Hugging Face Hub.",
                "Give the path of a JSONL, JSON, CSV or Parquet file, or start without --offline.")
        first_line = str(error).partition("\n")[0][:300]
        asked = f"split {self.split!r}" + (f", {self.config!r}" if self.config else "") + (
            f", revision {self.revision!r}" if self.revision else "")
        return DataError(
            f"{self.name!r} is no file on this PC and could not be read from the Hugging Face Hub "
            f"({asked}): {first_line}",
            "Check the id (owner/name, owner/name:config, owner/name#split), the network, and for "
            "a private dataset HF_TOKEN.")


def hub_part(
    spec: str, split: str, config: str | None, revision: str | None, settings: Settings
) -> HubPart:
    """What `spec` names; its own config and split go before the ones given."""
    match = _SPEC.fullmatch(spec)
    assert match is not None, "ask is_hub_spec first"
    return HubPart(match["name"], match["config"] or config, match["split"] or split, revision,
                   settings)
