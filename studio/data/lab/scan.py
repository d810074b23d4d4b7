"""Reads all sources of a recipe's data once, on worker processes, into a store on disk.

A store that was made of the same files is used again. Decides nothing: formats are counted here
and chosen in `detect.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from studio.data.detect import Groups, groups_of
from studio.data.lab.chunks import ChunkWriter, packed
from studio.data.lab.keeping import used_now
from studio.data.lab.store import (
    FACTS_FILE,
    PROBLEMS_KEPT,
    ROWS_FILE,
    Facts,
    SourceFacts,
    Store,
    dump_row,
)
from studio.data.lab.workers import mapped, worker_count
from studio.data.reading.blocks import Block
from studio.data.reading.sources import Source
from studio.data.records import Problem, Row
from studio.errors import DataError
from studio.files import disk_errors_told, folder_written_whole, write_json_safely
from studio.progress import Progress, ShouldStop, Step
from studio.settings import Settings

VERSION = 2
"""Of what lies in a store; raise it when reading gives other rows."""


@dataclass(frozen=True)
class ReadBlock:
    """What a worker made of one block."""

    chunk: bytes
    rows: int
    total: int
    groups: Groups
    problems: list[Problem]
    problem_counts: Counter[str]
    digest: bytes
    done: int


@dataclass
class _Source:
    """One source while it is read."""

    total: int = 0
    readable: int = 0
    groups: Groups = field(default_factory=Groups)


def store_folder(sources: tuple[Source, ...], settings: Settings) -> Path:
    """Where the store of these sources lies, or will."""
    parts = [f"{VERSION}", *(f"{one.spec}\x00{one.stamp}\x00{one.held_out}" for one in sources)]
    key = xxhash.xxh3_128_hexdigest("\x01".join(parts).encode("utf-8", "surrogatepass"))
    return settings.cache / "data" / key


def scan(
    sources: tuple[Source, ...], settings: Settings, *, progress: Progress, stop: ShouldStop
) -> Store:
    """The store of `sources`, read now or earlier. Raises DataError, DiskError, Stopped."""
    folder = store_folder(sources, settings)
    if not (folder / FACTS_FILE).is_file():
        with disk_errors_told(folder.parent, "What was read"), \
                folder_written_whole(folder, first_wins=True) as beside:
            facts = _read_all(sources, beside, progress, stop)
            write_json_safely(beside / FACTS_FILE, facts.as_json())
    used_now(folder)
    return Store(folder)


def _read_all(
    sources: tuple[Source, ...], folder: Path, progress: Progress, stop: ShouldStop
) -> Facts:
    digest = xxhash.xxh3_128()
    problems: list[Problem] = []
    counts: Counter[str] = Counter()
    facts = []
    with ChunkWriter(folder / ROWS_FILE) as rows:
        for source in sources:
            seen = _Source()
            for block in _read_blocks(source, progress, stop):
                rows.append(block.chunk, block.rows)
                digest.update(block.digest)
                seen.total += block.total
                seen.readable += block.rows
                seen.groups.merge(block.groups)
                counts += block.problem_counts
                problems += block.problems[: PROBLEMS_KEPT - len(problems)]
            facts.append(SourceFacts(source.name, source.held_out, seen.total, seen.readable,
                                     seen.groups))
    return Facts(digest.hexdigest(), tuple(facts), tuple(problems), dict(counts))


def _read_blocks(source: Source, progress: Progress, stop: ShouldStop) -> Iterator[ReadBlock]:
    workers = worker_count(source.total if source.unit == "bytes" else None)
    blocks = source.blocks(stop=stop)
    for block in mapped(read_block, None, blocks, workers=workers, stop=stop):
        progress(Step(f"Reading {source.name}", block.done, source.total, source.unit))
        yield block


def read_block(_: None, block: Block) -> ReadBlock:
    """Parse a block and match its rows against the formats; runs on a worker."""
    import pyarrow

    rows: list[Row] = []
    places: list[str] = []
    problems: list[Problem] = []
    total = 0
    for read in block.read():
        total += bool(read.row is not None or read.place)
        if read.row is not None:
            rows.append(read.row)
            places.append(read.place)
        if read.problem is not None:
            problems.append(read.problem)
    texts = [dump_row(row) for row in rows]
    batch = pyarrow.RecordBatch.from_arrays(
        [pyarrow.array(places, pyarrow.string()), pyarrow.array(texts, pyarrow.large_binary())],
        names=["place", "row"])
    digest = xxhash.xxh3_128()
    for text in texts:
        digest.update(text)
    return ReadBlock(packed(batch), len(rows), total, groups_of(rows, places),
                     problems[:PROBLEMS_KEPT], Counter(problem.kind for problem in problems),
                     digest.digest(), block.done)


def require_rows(store: Store, name: str) -> None:
    """Raises DataError where not one record is intact."""
    if len(store):
        return
    total = sum(source.total for source in store.facts.sources)
    if not total:
        raise DataError(f"{name} is empty: it holds no record.",
                        "Choose another file, or write at least one record into it.")
    first = "; ".join(f"{p.where}: {p.what}" for p in store.facts.problems[:3])
    raise DataError(f"None of the {total} records of {name} can be read. {first}",
                    store.facts.problems[0].hint if store.facts.problems else "")
