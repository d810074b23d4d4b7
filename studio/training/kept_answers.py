"""Answers of the model in training, one JSON line each, kept in the run folder.

`samples.jsonl` holds the rounds of sample prompts, `scores.jsonl` the answers that were scored,
`rewarded.jsonl` some of those that a run was rewarded for.
Files only grow: after a resume a mark says from which step on earlier answers no longer count,
and `folded` leaves them out. Answers nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from studio.files import disk_errors_told
from studio.json_lines import JsonLines, append_json_lines
from studio.runs import Run

SAMPLES_FILE = "samples.jsonl"
SCORES_FILE = "scores.jsonl"
REWARDED_FILE = "rewarded.jsonl"


@dataclass(frozen=True)
class Answered:
    """One prompt, answered after optimizer step `step`.

    `expected` is the held-out record's answer, or None for a prompt of the person's own. `cut`
    says that the answer was not over at the limit of tokens. `seconds` is the time of the batch
    that it was computed in; `score` is between 0 and 1 where answers are scored. Where several
    answers to one prompt are rewarded, `number` tells them apart, `rewards` has what each function
    gave, and `score` is their weighted sum.
    """

    step: int
    prompt: str
    expected: str | None
    answer: str
    tokens: int
    seconds: float
    cut: bool
    score: float | None = None
    number: int = 0
    rewards: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ResumedFrom:
    """A mark in the file: answers above it in the file and after this step no longer count."""

    resumed_from: int


Line = Answered | ResumedFrom
_NAMES = frozenset(one.name for one in fields(Answered))
_LEFT_OUT: dict[str, Any] = {"score": None, "number": 0, "rewards": {}}
"""Values that a line does without."""


def answers_of(run_path: Path, file_name: str = SAMPLES_FILE) -> JsonLines[Line]:
    """The lines of a run's file, to be read again and again while it grows."""
    return JsonLines(run_path / file_name, _parsed)


def read_samples(run: Run) -> list[Answered]:
    """The sample prompts of a run with their answers, by step; within a step as they were asked."""
    return folded(answers_of(run.path).read())


def read_scored(run: Run) -> list[Answered]:
    """The answers of a run that were scored, in the same order as `read_samples`."""
    return folded(answers_of(run.path, SCORES_FILE).read())


def read_rewarded(run: Run) -> list[Answered]:
    """Those answers of a run's own that were kept with their rewards, in the same order."""
    return folded(answers_of(run.path, REWARDED_FILE).read())


def folded(lines: Sequence[Line]) -> list[Answered]:
    """What counts of a file: nothing twice, and nothing that a resume has made undone."""
    kept: dict[tuple[int, str, str | None, int], Answered] = {}
    for line in lines:
        if isinstance(line, ResumedFrom):
            kept = {key: one for key, one in kept.items() if one.step <= line.resumed_from}
        else:
            kept[line.step, line.prompt, line.expected, line.number] = line
    return sorted(kept.values(), key=lambda one: one.step)


class AnswerFile:
    """The writing side, for the one process that owns the run."""

    def __init__(self, run: Run, file_name: str) -> None:
        self._path = run.path / file_name
        self.steps = {one.step for one in folded(answers_of(run.path, file_name).read())}
        """After which steps answers are kept already."""

    def resume_from(self, step: int) -> None:
        """Answers after `step` come anew."""
        if any(kept > step for kept in self.steps):
            self._write([asdict(ResumedFrom(step))])
            self.steps = {kept for kept in self.steps if kept <= step}

    def append(self, answers: Sequence[Answered]) -> None:
        """Keep a whole round at once. Raises DiskError where the disk is full."""
        self._write([{key: value for key, value in asdict(one).items()
                      if key not in _LEFT_OUT or value != _LEFT_OUT[key]} for one in answers])
        self.steps |= {one.step for one in answers}

    def _write(self, lines: Sequence[dict[str, Any]]) -> None:
        with disk_errors_told(self._path.parent, "The answers"):
            append_json_lines(self._path, lines)


def _parsed(found: dict[str, Any]) -> Line | None:
    """A line of an older or newer version counts as far as its fields are known."""
    if "resumed_from" in found:
        return ResumedFrom(found["resumed_from"])
    if not {"step", "prompt", "answer"} <= found.keys():
        return None
    blank = {"expected": None, "tokens": 0, "seconds": 0.0, "cut": False}
    return Answered(**{**blank, **{key: found[key] for key in found.keys() & _NAMES}})
