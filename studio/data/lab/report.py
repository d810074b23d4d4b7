"""The report of a whole data set: plain values for the page, the command line, and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from studio.data.detection import Detection
from studio.data.findings import Finding
from studio.data.records import Problem


@dataclass(frozen=True)
class Advice:
    """One piece of advice. `about` is a stable key ("few_examples"), `why` gives the numbers it
    rests on, `changes` are recipe fields that one click may set ({"data.max_length": 512})."""

    about: str
    what: str
    why: str
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Statistics:
    """Of the examples that can be taught, held-out ones included. Lengths are in tokens and before
    the cut at max_length; None where no tokenizer was given. `length_counts[i]` counts examples
    from `length_edges[i]` up to, not including, `length_edges[i + 1]`. `rows` is what the examples
    become where long texts are divided instead of cut, else as many."""

    examples: int = 0
    turns_median: float | None = None
    turns_max: int | None = None
    tokens_min: int | None = None
    tokens_median: float | None = None
    tokens_p95: int | None = None
    tokens_max: int | None = None
    tokens_total: int | None = None
    loss_tokens: int | None = None
    truncated: int | None = None
    rows: int | None = None
    without_answer: int = 0
    duplicates: int = 0
    length_edges: tuple[int, ...] = ()
    length_counts: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "length_edges": list(self.length_edges),
                "length_counts": list(self.length_counts)}


@dataclass(frozen=True)
class SourceReport:
    """One source of the mix. `rows` counts what could not be read as well; `taken` is how many
    examples of it one epoch sees."""

    name: str
    weight: float
    held_out: bool
    rows: int
    readable: int
    detection: Detection
    columns: tuple[str, ...]
    formats: dict[str, int]
    """Rows by the format that each has on its own, the mixed file's truth."""


@dataclass(frozen=True)
class Report:
    """Everything that is known of a set. `rows` counts unreadable ones too; `problems` are the
    first thousand single problems, `problem_count` all of them. `train_examples` and
    `eval_examples` are the parts of the chosen split. `has_tokens` is false while there is no
    tokenizer, so that nothing that needs one was looked for."""

    name: str
    fingerprint: str
    sources: tuple[SourceReport, ...]
    format: str | None
    why: str
    rows: int
    readable: int
    columns: tuple[str, ...]
    statistics: Statistics
    languages: dict[str, float]
    findings: tuple[Finding, ...]
    advice: tuple[Advice, ...]
    problems: tuple[Problem, ...]
    problem_count: int
    train_examples: int
    eval_examples: int
    split: str
    has_tokens: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "source": self.name, "fingerprint": self.fingerprint, "format": self.format,
            "why": self.why, "rows": self.rows, "readable_rows": self.readable,
            "usable_rows": self.statistics.examples, "columns": list(self.columns),
            "sources": [_source_json(source) for source in self.sources],
            "statistics": self.statistics.as_json(), "languages": self.languages,
            "findings": [finding.as_json() for finding in self.findings],
            "advice": [asdict(advice) for advice in self.advice],
            "split": {"how": self.split, "train": self.train_examples, "eval": self.eval_examples},
            "problem_count": self.problem_count,
            "problems": [problem.as_json() for problem in self.problems],
        }


def _source_json(source: SourceReport) -> dict[str, Any]:
    return {
        "name": source.name, "weight": source.weight, "held_out": source.held_out,
        "rows": source.rows, "readable_rows": source.readable,
        "format": source.detection.format, "why": source.detection.why,
        "columns": list(source.columns), "formats": source.formats,
    }
