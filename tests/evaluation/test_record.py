"""What tasks measured is kept in the run, in order, and read back without trust in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.evaluation.record import Evaluation, Score, keep_evaluation, read_evaluations
from studio.runs import Run


def _evaluation(time: float, **of_score: object) -> Evaluation:
    score = Score(**{"task": "arc", "metric": "acc", "base": 0.2, "tuned": 0.5, **of_score})
    return Evaluation(time=time, seconds=3.0, tasks=("arc",), limit=10, shots=None, is_chat=False,
                      scores=(score,), versions={"lm_eval": "0.4.13"})


def test_evaluations_are_kept_in_order_and_read_back_as_they_were(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert read_evaluations(run) == []
    first, second = _evaluation(1.0, base_error=0.1), _evaluation(2.0)
    keep_evaluation(run, first)
    keep_evaluation(run, second)
    assert read_evaluations(Run(tmp_path)) == [first, second]


@pytest.mark.parametrize("text", ["", "{", "{}", "null", '[{"scores": 1}]', '[{"tasks": []}]'])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "evaluations.json").write_text(text)
    assert read_evaluations(Run(tmp_path)) == []


@pytest.mark.parametrize(("base", "tuned", "error", "higher", "verdict"), [
    (0.2, 0.5, 0.01, True, "better"), (0.5, 0.2, 0.01, True, "worse"),
    (9.0, 5.0, None, False, "better"), (0.2, 0.5, 0.2, True, "within chance"),
    (0.5, 0.5, None, True, "the same"), (0.2, 0.5, None, None, ""),
])
def test_a_change_is_called_better_only_beyond_chance(
    base: float, tuned: float, error: float | None, higher: bool | None, verdict: str
) -> None:
    score = Score("arc", "acc", base, tuned, error, error, higher)
    assert score.verdict == verdict and score.change == pytest.approx(tuned - base)
