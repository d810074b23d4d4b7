"""What is in a source, told before a run costs anything: the report of the Dataset tab.

Answers for every file that exists, however broken; only a source that is not there is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from studio.data.detection import Detection
from studio.data.examples import render_all
from studio.data.formats import choose_format, to_messages
from studio.data.records import Problem, Records
from studio.data.render import Example
from studio.data.sources import NothingReadable, read_records, source_exists
from studio.data.statistics import Statistics, duplicate_indices, statistics_of
from studio.errors import DataError
from studio.progress import Progress, ShouldStop, never, silent
from studio.recipe import Data
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LARGEST_PROBLEM_LIST = 1000


@dataclass
class Inspection:
    """`rows` counts every record read, unreadable ones included. `records` are the readable."""

    source: str
    format: str | None
    why: str
    rows: int
    columns: list[str]
    problems: list[Problem]
    statistics: Statistics
    records: Records = field(repr=False)
    detection: Detection = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Plain values only; at most a thousand problems are listed, all are counted."""
        return {
            "source": self.source, "format": self.format, "why": self.why, "rows": self.rows,
            "usable_rows": self.statistics.examples, "columns": self.columns,
            "statistics": self.statistics.as_json(), "problem_count": len(self.problems),
            "problems": [problem.as_json() for problem in self.problems[:_LARGEST_PROBLEM_LIST]],
        }


def inspect(
    source: str, settings: Settings, *, tokenizer: PreTrainedTokenizerBase | None = None,
    data: Data | None = None, progress: Progress = silent, stop: ShouldStop = never,
) -> Inspection:
    """Read `source` whole and report. Lengths and truncation need a `tokenizer`.

    Raises DataError only where there is no such source.
    """
    data = data or Data()
    try:
        records = read_records(source, settings, split=data.split, progress=progress, stop=stop)
    except NothingReadable as error:
        return _nothing(source, error.records, error.records.problems, "no record can be read.")
    except DataError as error:
        if not source_exists(source):
            raise
        problem = Problem(error.message, "", error.hint)
        return _nothing(source, Records(source), [problem], "nothing could be read.")
    try:
        detection = choose_format(records, data)
    except DataError as error:
        problem = Problem(error.message, "", error.hint)
        detection = Detection(None, error.message, {}, (problem,))
    problems = [*records.problems, *detection.problems]
    statistics = _check_rows(records, detection, tokenizer, data, problems, (progress, stop))
    repeated = duplicate_indices(records.rows)
    problems += [Problem("repeats an earlier record exactly.", records.places[index],
                         "Remove one of them, unless it shall count twice.")
                 for index in repeated]
    return Inspection(
        source=source, format=detection.format, why=detection.why, rows=records.total_rows,
        columns=records.columns, problems=problems, records=records,
        statistics=replace(statistics, duplicates=len(repeated)),
        detection=detection,
    )


def _check_rows(
    records: Records, detection: Detection, tokenizer: PreTrainedTokenizerBase | None, data: Data,
    problems: list[Problem], watch: tuple[Progress, ShouldStop],
) -> Statistics:
    """Adds a problem per row that cannot be taught; statistics of the rest."""
    if detection.format is None:
        return Statistics()
    if tokenizer is None:
        bad = _check_conversations(records, detection)
        problems += bad
        return Statistics(examples=len(records.rows) - len(bad), without_answer=len(bad))
    examples: list[Example] = []
    progress, stop = watch
    for one in render_all(records, detection, tokenizer, data, progress=progress, stop=stop):
        if one.problem is not None:
            problems.append(one.problem)
        if one.example is not None:
            examples.append(one.example)
    problems += _truncation(examples, data)
    return statistics_of(examples, without_answer=len(records.rows) - len(examples))


def _check_conversations(records: Records, detection: Detection) -> list[Problem]:
    problems = []
    for row, place in zip(records.rows, records.places, strict=True):
        try:
            to_messages(row, detection)
        except DataError as error:
            problems.append(Problem(error.message, place, error.hint))
    return problems


def _truncation(examples: list[Example], data: Data) -> list[Problem]:
    cut = [example for example in examples if example.truncated]
    if not cut:
        return []
    longest = max(len(example.input_ids) + example.cut_tokens for example in cut)
    return [Problem(
        f"{len(cut)} of {len(examples)} examples are longer than {data.max_length} tokens and "
        "lose their end.", "",
        f"Set data.max_length to {longest} to keep all of them, at the price of memory.",
    )]


def _nothing(
    source: str, records: Records, problems: list[Problem], why: str
) -> Inspection:
    return Inspection(
        source=source, format=None, why=why, rows=records.total_rows, columns=[],
        problems=list(problems), statistics=Statistics(), records=records,
        detection=Detection(None, why, {}),
    )
