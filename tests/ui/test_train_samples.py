"""The card of answers: changes are marked, equal answers share a line, nothing is shown twice."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from studio.runs import create_run
from studio.settings import Settings
from studio.story import Forgetting, Scored
from studio.training.kept_answers import Answered
from studio.training.loop import train
from studio.ui.charts_learning import learning_figure
from studio.ui.panels import train_samples
from studio.ui.panels.train_samples_view import (
    marked_changes,
    measures_view,
    scored_view,
    stretches,
    timeline_view,
)
from studio.ui.seen import NEVER
from tests.ui.work import short_recipe, story


def _answered(step: int, answer: str, prompt: str = "2 teas", expected: str | None = '{"n": 2}',
              **values: object) -> Answered:
    return Answered(**{"step": step, "prompt": prompt, "expected": expected, "answer": answer,
                       "tokens": 3, "seconds": 0.1, "cut": False, **values})  # type: ignore[arg-type]


def test_equal_answers_in_a_row_share_a_line() -> None:
    rounds = [_answered(0, "a"), _answered(10, "b"), _answered(20, "b"), _answered(30, "a")]
    assert [one.label for one in stretches(rounds)] == ["Step 0", "Step 10 to 20", "Step 30"]
    html = timeline_view(rounds)
    assert html.count("answer-row") == 4 and html.count("2 teas") == 1  # the expected one too


def test_changed_words_are_marked_and_wholly_new_answers_are_not() -> None:
    assert marked_changes("two green teas", "two black teas") == "two <mark>black</mark> teas"
    assert marked_changes("<b>", "<b> & more") == "&lt;b&gt; <mark>&amp; more</mark>"
    assert "<mark>" not in marked_changes("no idea at all", '{"n": 2}')


def test_everything_from_files_is_escaped_and_an_empty_answer_is_said() -> None:
    html = timeline_view([_answered(0, "", "<script>", "<i>"), _answered(1, "<img>", "<script>",
                                                                        "<i>")])
    assert "<script>" not in html and "<i>" not in html and "<img>" not in html
    assert "nothing" in html
    assert "<u>" not in scored_view([_answered(0, "<u>", "<u>", "<u>", score=0.0)])


def test_a_right_answer_and_a_cut_one_can_be_told() -> None:
    html = timeline_view([_answered(0, "so and so and", cut=True), _answered(9, '{"n":  2}')])
    assert html.count("✓") == 1 and "Longer answers are cut" in html


def test_many_rounds_and_many_prompts_are_folded() -> None:
    html = timeline_view([_answered(step, f"answer {step}") for step in range(30)])
    assert "22 answers between" in html and html.count("answer-row") == 31
    many = timeline_view([_answered(0, "a", f"prompt {number}") for number in range(9)])
    assert "3 more prompts" in many
    assert timeline_view([]) == ""


def test_measures_tell_before_and_now() -> None:
    told = story(9, scores=(Scored(0, "json_equal", 0.1, 20), Scored(9, "json_equal", 0.85, 20)),
                 forgetting=(Forgetting(0, 2.0, 2.0), Forgetting(9, 2.1, 2.0)))
    html = measures_view(told)
    assert "10% → 85%" in html and "2.000 → 2.100 (+5.0%)" in html
    assert measures_view(story(3)) == "" == measures_view(None)


def test_a_chart_comes_with_the_third_measure() -> None:
    forgetting = tuple(Forgetting(step, 2 + step / 10, 2.0) for step in range(3))
    assert learning_figure(story(3, forgetting=forgetting[:2])) is None
    figure = learning_figure(story(3, forgetting=forgetting))
    assert figure is not None
    assert list(figure.data[0].y) == pytest.approx([0, 5, 10])
    both = learning_figure(story(3, forgetting=forgetting, scores=(Scored(0, "regex", 0.5, 4),)))
    assert both is not None and [trace.name for trace in both.data] == ["answers right",
                                                                       "general text"]


def test_wrong_answers_come_first_and_only_the_latest_scoring_counts() -> None:
    html = scored_view([_answered(0, "old", score=0.0), _answered(5, "good", score=1.0),
                        _answered(5, "bad", "3 teas", score=0.0)])
    assert "after step 5: 1 of 2 right" in html and "old" not in html
    assert html.index("bad") < html.index("good")


def test_a_real_run_fills_the_card_once(settings: Settings, tiny_model: Path,
                                        tmp_path: Path) -> None:
    nothing = train_samples.page(None, NEVER)
    assert train_samples.page(None, nothing[-1]) == gr.skip()
    recipe = short_recipe(tiny_model, tmp_path, **{
        "data.eval_fraction": 0.25, "monitor.sample_records": 1, "monitor.sample_tokens": 8,
        "monitor.sample_prompts": ["7 pizzas"], "monitor.scorer": "json_valid"})
    run = create_run(settings, recipe, "a")
    train(recipe, run, lambda: False, settings=settings)
    first = train_samples.page(run, NEVER)
    card, timeline, measures, _, plot, scored, seen = first
    assert card.visible is not False and "7 pizzas" in timeline and "Step 0" in timeline
    assert "valid JSON, of 3 answers" in measures and "loss on general text" in measures
    assert plot == "" and "Scored answers after step 3" in scored
    assert train_samples.page(run, seen) == gr.skip()
