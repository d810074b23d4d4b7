"""Margins, rewards and shares in panels below the loss; held-out ones as dots."""

from __future__ import annotations

import pytest

from studio.comparison import METRICS, metrics_of, series
from studio.story import Point, Story
from studio.ui.charts_measures import measures_figure, panels
from studio.ui.panels.train_view import status_view
from tests.ui.work import story


def measured(method: str = "dpo", **held_out: float) -> Story:
    """Six steps whose margin and accuracy rise; the last is evaluated."""
    points = tuple(
        Point(step, step / 10, 0.7, 1e-5, None, None,
              measures={"margin": step / 10, "chosen_reward": step / 20, "accuracy": step / 10})
        for step in range(1, 7))
    return story(points=points, step=6, total_steps=6, plan={"method": method},
                 evals=((6, 0.6),), eval_measures=((6, held_out),) if held_out else ())


def test_a_method_that_measures_no_more_has_no_second_plot() -> None:
    assert measures_figure(story(5)) is None
    assert measures_figure(None) is None


def test_rewards_share_a_panel_and_shares_are_in_percent() -> None:
    found = measured(margin=0.5, accuracy=1.0)
    points, shares = panels(found)
    assert points.names == ("margin", "chosen_reward")
    assert shares.names == ("accuracy",) and shares.is_share
    figure = measures_figure(found)
    assert figure is not None
    by_name = {trace.name: trace for trace in figure.data if trace.name}
    assert next(iter(by_name["Margin"].y)) == pytest.approx(0.1)
    assert next(iter(by_name["Preferred answer wins"].y)) == pytest.approx(10)
    assert list(by_name["Preferred answer wins, held out"].y) == [100]
    assert by_name["Margin"].yaxis != by_name["Preferred answer wins"].yaxis


def test_single_reward_functions_are_drawn_where_there_are_several() -> None:
    one = {"reward": 0.5, "reward/exact_match": 0.5}
    two = {**one, "reward/<b>": 0.25}
    assert panels(story(points=(Point(1, 0, 0.0, 0, None, None, measures=one),)))[0].names == (
        "reward",)
    both = story(points=(Point(1, 0, 0.0, 0, None, None, measures=two),))
    assert panels(both)[0].names == ("reward", "reward/<b>", "reward/exact_match")
    figure = measures_figure(both)
    assert figure is not None and not any("<b>" in (trace.name or "") for trace in figure.data)


def test_the_head_of_a_run_names_its_method_and_its_measures() -> None:
    shown = status_view(measured())
    assert "Preferences (DPO)" in shown and "60 %" in shown and "margin" in shown
    assert "perplexity" not in shown
    rewarded = status_view(story(3, plan={"method": "grpo"}, evals=((3, -0.75),)))
    assert "held-out reward" in rewarded and "0.75" in rewarded and "-0.75" not in rewarded
    assert "perplexity" in status_view(story(3, evals=((3, 1.0),)))


def test_measures_are_curves_to_compare_where_a_run_can_have_them() -> None:
    assert "margin" not in [one.name for one in metrics_of({"sft"})]
    assert {"margin", "eval_margin", "loss"} <= {one.name for one in metrics_of({"sft", "dpo"})}
    assert series(measured(), (), "accuracy")[1][-1] == pytest.approx(60)
    assert series(measured(margin=0.5), (), "eval_margin") == ([6.0], [0.5])
    assert series(measured(), (), "perplexity") == ([], [])
    assert METRICS["eval_accuracy"].unit == "%"
