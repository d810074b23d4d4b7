"""Writes a cleaned copy of a data set: new files, never an overwrite, and a record of what was
done.

A source becomes one JSONL file. Rows that no finding names are copied value for value; records
that could not be read stay behind and are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy

from studio import __version__
from studio.data.cleaning.plan import Plan, plan_of
from studio.data.findings import Finding, Remedy
from studio.data.lab.store import dump_row
from studio.errors import DiskError, Stopped
from studio.files import file_written_whole, free_path, safe_name, write_json_safely
from studio.progress import Progress, ShouldStop, Step, never, silent

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole

RECORD_SUFFIX = ".record.json"
_ROWS_PER_REPORT = 1000
_PLACES_KEPT = 1000


@dataclass(frozen=True)
class CleanedFile:
    """What became of one source. `rows_in` = `kept` + `dropped`; `changed` are among the kept.
    `unreadable` records were never rows and stay behind."""

    source: str
    file: Path
    record: Path
    rows_in: int
    kept: int
    dropped: int
    changed: int
    unreadable: int

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "file": str(self.file), "record": str(self.record)}


@dataclass(frozen=True)
class Cleaned:
    """One file for each source, and for each choice how many rows it touched."""

    files: tuple[CleanedFile, ...]
    done: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        totals = {name: sum(getattr(one, name) for one in self.files)
                  for name in ("rows_in", "kept", "dropped", "changed", "unreadable")}
        return {**totals, "files": [one.as_json() for one in self.files], "done": list(self.done)}


def clean(
    whole: Whole, findings: Sequence[Finding], choices: Mapping[str, Remedy], target: Path, *,
    progress: Progress = silent, stop: ShouldStop = never,
) -> Cleaned:
    """Write a cleaned copy of every source of `whole` into the folder `target`.

    `choices`: key of a finding -> what to do with its rows. Raises DataError for a choice that
    there is not, DiskError where the folder cannot be written, and Stopped, after which nothing is
    left behind.
    """
    plan = plan_of(findings, choices, len(whole.store))
    try:
        target.mkdir(parents=True, exist_ok=True)
        files = _write(whole, plan, target, (progress, stop))
    except OSError as error:
        raise DiskError(f"The cleaned copy cannot be written to {target}: {error.strerror}.",
                        "Choose another folder, or free some space there.") from error
    done = tuple({
        "finding": action.finding.key, "title": action.finding.title, "remedy": action.remedy,
        "rows": int(action.applies.sum()), "could_not_be_mended": action.unmended,
    } for action in plan.actions)
    for number, one in enumerate(files):
        dropped = numpy.flatnonzero(plan.dropped & (whole.store.source_of == number))
        write_json_safely(one.record, _record(whole, one, done, dropped))
    return Cleaned(files, done)


def _write(
    whole: Whole, plan: Plan, target: Path, watch: tuple[Progress, ShouldStop]
) -> tuple[CleanedFile, ...]:
    """All files appear together at the end, or none."""
    source_of = whole.store.source_of
    changed = numpy.zeros(len(whole.sources), dtype=int)
    with ExitStack() as stack:
        paths = _free_paths(whole, target)
        writers = [stack.enter_context(file_written_whole(path)) for path in paths]
        for number, row in enumerate(_reported(whole, watch)):
            if plan.dropped[number]:
                continue
            source = int(source_of[number])
            new = plan.mended(number, row, whole.detections[source])
            changed[source] += new != row
            _write_line(writers[source], dump_row(new))
    return tuple(
        _cleaned_file(whole, plan, number, path, int(changed[number]))
        for number, path in enumerate(paths))


def _reported(whole: Whole, watch: tuple[Progress, ShouldStop]) -> Iterator[Any]:
    progress, stop = watch
    total = len(whole.store)
    for number, row in enumerate(whole.store.each()):
        if number % _ROWS_PER_REPORT == 0:
            if stop():
                raise Stopped("Writing the cleaned copy was stopped.")
            progress(Step("Writing the cleaned copy", number, total, "rows"))
        yield row


def _write_line(file: BinaryIO, line: bytes) -> None:
    file.write(line)
    file.write(b"\n")


def _cleaned_file(
    whole: Whole, plan: Plan, number: int, path: Path, changed: int
) -> CleanedFile:
    source = whole.sources[number]
    mine = whole.store.source_of == number
    dropped = int(plan.dropped[mine].sum())
    return CleanedFile(
        source=source.name, file=path, record=path.with_name(path.stem + RECORD_SUFFIX),
        rows_in=source.readable, kept=source.readable - dropped, dropped=dropped, changed=changed,
        unreadable=source.total - source.readable)


def _free_paths(whole: Whole, target: Path) -> list[Path]:
    """name-cleaned.jsonl for each source, or name-cleaned-2.jsonl and so on where that is taken."""
    paths: list[Path] = []
    for source in whole.sources:
        name = safe_name(Path(source.name).name.split(".")[0], "data")
        paths.append(free_path(target, f"{name}-cleaned", ".jsonl", paths))
    return paths


def _record(
    whole: Whole, one: CleanedFile, done: Sequence[Mapping[str, Any]], dropped: numpy.ndarray
) -> dict[str, Any]:
    return {
        "source": one.source, "fingerprint": whole.store.facts.fingerprint,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "studio_version": __version__, "file": one.file.name, "rows_in": one.rows_in,
        "rows_out": one.kept, "dropped": one.dropped, "changed": one.changed,
        "unreadable_left_behind": one.unreadable, "done_in_all_sources": list(done),
        "dropped_places": [whole.store.place(row) for row in dropped[:_PLACES_KEPT].tolist()],
    }
