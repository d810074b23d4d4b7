"""The table of tasks before and after, as it stands with a run."""

from __future__ import annotations

from pathlib import Path

from studio.evaluation.record import Evaluation, Score, keep_evaluation
from studio.runs import Run
from studio.ui.panels.evaluations_view import evaluations_view


def test_a_run_without_evaluations_shows_nothing(tmp_path: Path) -> None:
    assert evaluations_view(Run(tmp_path)) == evaluations_view(None) == ""


def test_scores_stand_side_by_side_newest_first_and_names_are_escaped(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for time, name in ((1e9, "old"), (2e9, "<b>new")):
        keep_evaluation(run, Evaluation(
            time=time, seconds=1.0, tasks=(name,), limit=1000, shots=None, is_chat=True,
            scores=(Score(name, "acc", 0.25, 0.75, 0.01, 0.01, True, 1000),)))
    html = evaluations_view(run)
    assert html.index("&lt;b&gt;new") < html.index(">old<") and "<b>new" not in html
    assert "0.2500 ± 0.0100" in html and "+0.5000 (better)" in html
    assert "1,000 questions of each task, in the chat template." in html
