"""What the sources of a recipe mean: "starter", a file, a folder, or a dataset of the Hub.

Looks at names, sizes and times only, so that it answers at once; `Source.blocks` reads. Does not
look at what the columns mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from studio.data.reading.allowed import starter_folder
from studio.data.reading.blocks import Block, Rows
from studio.data.reading.endings import is_readable
from studio.data.reading.files import kind_of, local_files
from studio.data.reading.hub import hub_part, is_hub_spec
from studio.errors import DataError
from studio.files import typed_path
from studio.progress import ShouldStop, never
from studio.recipe.base import STARTER
from studio.recipe.data import Data
from studio.recipe.taught import JUDGED, PREFERENCES, TEXTS
from studio.settings import Settings


class Content(Protocol):
    """Where the rows of a source come from: local files, or a part of a Hub dataset."""

    @property
    def unit(self) -> str: ...

    @property
    def total(self) -> int | None: ...

    @property
    def identity(self) -> list[object]: ...

    def blocks(self, stop: ShouldStop, first_page: bool) -> Iterator[Block]: ...


@dataclass(frozen=True)
class Source:
    """One source of a recipe.

    `spec` is what the recipe says, `name` is short and for people. `weight` is how often its rows
    are taken. `stamp` changes when the content may have changed. `total` is its size in `unit`
    ("bytes" or "rows"), None where it is unknown before reading.
    """

    name: str
    spec: str
    weight: float
    held_out: bool
    stamp: str
    total: int | None
    unit: str
    content: Content = field(repr=False, compare=False)

    def blocks(self, *, stop: ShouldStop = never, first_page: bool = False) -> Iterator[Block]:
        """Every record in its order; notes on the whole source are blocks without records.

        With `first_page` no more is fetched from the Hub than the first rows need. Raises DataError
        where it cannot be read to its end or holds no record at all, and Stopped.
        """
        is_empty = True
        for block in self.content.blocks(stop, first_page):
            is_empty = is_empty and _is_note(block)
            yield block
        if is_empty:
            raise DataError(f"{self.name} is empty: it holds no record.",
                            "Choose another source, or write at least one record into it.")


def sources_of(data: Data, settings: Settings) -> tuple[Source, ...]:
    """The main source, then those mixed with it, then the held-out one where there is one.

    Raises DataError where one is missing, not allowed, or of no kind that is read.
    """
    config, revision = data.config, data.revision
    sources = [_source(data.source, data, settings, config=config, revision=revision)]
    # A mix that names the main source only says how often that one is taken.
    sources += [_source(spec, data, settings, weight=weight) for spec, weight in data.mix.items()
                if spec != data.source]
    if data.held_out == "file" and data.eval_source:
        sources.append(_source(data.eval_source, data, settings, held_out=True))
    return tuple(sources)


def starter_files() -> tuple[Path, Path]:
    """(training, held-out) files of the task that comes with the studio."""
    folder = starter_folder()
    return folder / "train.jsonl", folder / "heldout.jsonl"


def starter_file(spec: str) -> Path | None:
    """The file of a set that comes with the studio; None for any other source."""
    names = {STARTER: "train.jsonl", PREFERENCES: "preferences.jsonl", JUDGED: "judged.jsonl",
             TEXTS: "texts.jsonl"}
    return starter_folder() / names[spec] if spec in names else None


def _source(
    spec: str, data: Data, settings: Settings, *, weight: float = 1.0, held_out: bool = False,
    config: str | None = None, revision: str | None = None,
) -> Source:
    name, content = _content(spec, data, config, revision, settings)
    text = json.dumps(content.identity, ensure_ascii=True)
    return Source(name, spec, weight, held_out, hashlib.sha256(text.encode()).hexdigest()[:24],
                  content.total, content.unit, content)


def _content(
    spec: str, data: Data, config: str | None, revision: str | None, settings: Settings
) -> tuple[str, Content]:
    if "://" in spec:
        raise DataError(f"{spec} is an address, not a file or a Hub id.",
                        "Download it and give the path, or give the id as owner/name.")
    own = starter_file(spec)
    path = own or typed_path(spec)
    if own or _is_path(spec, path):
        return path.name or spec, local_files(path, settings, data.split, whole=data.divides)
    return spec, hub_part(spec, data.split, config, revision, settings)


def hub_dataset(spec: str) -> str | None:
    """The id of the Hub dataset that `spec` names; None for a file, a folder, or what comes with
    the studio."""
    if starter_file(spec) or _is_path(spec, typed_path(spec)):
        return None
    return spec.partition(":")[0].partition("#")[0]


def _is_path(spec: str, path: Path) -> bool:
    """Hub ids look like relative paths; what exists or ends like a data file is a path."""
    if is_readable(path) or kind_of(path) != "missing":
        return True
    return not is_hub_spec(spec)


def _is_note(block: Block) -> bool:
    return isinstance(block, Rows) and all(read.row is None and not read.place
                                           for read in block.reads)
