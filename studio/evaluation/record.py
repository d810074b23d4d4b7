"""What tasks measured on a run, kept in its folder as `evaluations.json`, newest last."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from studio.files import write_json_safely
from studio.runs import Run

FILE_NAME = "evaluations.json"


@dataclass(frozen=True)
class Score:
    """One metric of one task, of the base and of what was trained.

    The errors are standard errors, None where the task has none. `higher_is_better` is None where
    the task does not say.
    """

    task: str
    metric: str
    base: float
    tuned: float
    base_error: float | None = None
    tuned_error: float | None = None
    higher_is_better: bool | None = None
    count: int = 0

    @property
    def change(self) -> float:
        """Of the value, after minus before."""
        return self.tuned - self.base

    @property
    def is_within_noise(self) -> bool | None:
        """Whether the change is smaller than twice its standard error; None without errors."""
        if self.base_error is None or self.tuned_error is None:
            return None
        return abs(self.change) <= 2 * math.hypot(self.base_error, self.tuned_error)

    @property
    def verdict(self) -> str:
        """"better", "worse", "within chance", "the same", or nothing where that is unknown."""
        if self.change == 0:
            return "the same"
        if self.is_within_noise:
            return "within chance"
        if self.higher_is_better is None:
            return ""
        return "better" if (self.change > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class Evaluation:
    """One call: what was asked, and what came out. `time` in Unix seconds; `shots` None means as
    each task says; `limit` None means every question."""

    time: float
    seconds: float
    tasks: tuple[str, ...]
    limit: int | None
    shots: int | None
    is_chat: bool
    scores: tuple[Score, ...]
    versions: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def read_evaluations(run: Run) -> list[Evaluation]:
    """All of a run, oldest first; one that cannot be read is left out."""
    try:
        found = json.loads(_path(run).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    parsed = (_parsed(one) for one in found) if isinstance(found, list) else ()
    return [one for one in parsed if one is not None]


def keep_evaluation(run: Run, evaluation: Evaluation) -> None:
    """Add one to the run's."""
    everything: Sequence[Evaluation] = [*read_evaluations(run), evaluation]
    write_json_safely(_path(run), [one.to_dict() for one in everything])


def _path(run: Run) -> Path:
    return run.path / FILE_NAME


def _parsed(found: Any) -> Evaluation | None:
    try:
        scores = tuple(Score(**score) for score in found["scores"])
        return Evaluation(**{**found, "tasks": tuple(found["tasks"]), "scores": scores})
    except (TypeError, KeyError):
        return None
