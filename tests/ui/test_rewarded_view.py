"""The rewarded answers of a run as the page shows them."""

from __future__ import annotations

from pathlib import Path

from studio.runs import Run
from studio.training.kept_answers import REWARDED_FILE, Answered, AnswerFile
from studio.ui.panels.rewarded_view import answers_view, rewarded_view


def answered(step: int, number: int, score: float, text: str = "yes") -> Answered:
    return Answered(step, "<b>one</b>", "no", text, 3, 0.0, False, score, number,
                    {"length=4": score})


def test_a_run_without_answers_of_its_own_shows_nothing(tmp_path: Path) -> None:
    assert rewarded_view(Run(tmp_path)) == ""


def test_the_newest_step_is_open_its_best_answer_first_and_nothing_is_markup(
    tmp_path: Path
) -> None:
    run = Run(tmp_path)
    AnswerFile(run, REWARDED_FILE).append([
        answered(1, 0, 0.25), answered(2, 0, 0.5, "worse"), answered(2, 1, 0.75, "better")])
    shown = rewarded_view(run)
    assert shown.index("Step 2") < shown.index("better") < shown.index("worse") \
        < shown.index("Answers of 1 earlier step<") < shown.index("Step 1")
    assert "<b>" not in shown and "&lt;b&gt;one&lt;/b&gt;" in shown
    assert 'title="length=4: 0.75, 3 tokens">+0.75' in shown


def test_of_many_steps_some_are_shown_and_the_first_is_among_them() -> None:
    shown = answers_view([answered(step, 0, 0.1) for step in range(1, 201)])
    assert "Answers of 20 earlier steps" in shown
    assert "Step 1:" in shown and "Step 200:" in shown and "Step 199:" in shown
