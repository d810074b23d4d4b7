"""The training curves as plotly figures, without a page."""

from __future__ import annotations

import json
import math

from studio.story import Point
from studio.ui.charts import MAX_POINTS, decimate, smoothed, training_figure
from studio.ui.live_plot import figure_value
from tests.ui.work import story


def traces(figure):  # type: ignore[no-untyped-def]
    return {trace["name"]: trace for trace in json.loads(figure_value(figure))["data"]}


def test_the_figure_has_raw_and_smoothed_loss_and_the_learning_rate():
    found = traces(training_figure(story(20)))
    assert set(found) == {"loss at this step", "loss, smoothed", "learning rate"}
    assert found["loss at this step"]["x"] == list(range(1, 21))
    assert found["learning rate"]["yaxis"] == "y2"


def test_evaluations_are_points_of_their_own():
    found = traces(training_figure(story(20, evals=((10, 0.5), (20, 0.4)))))
    assert found["held-out loss"]["x"] == [10, 20]
    assert found["held-out loss"]["y"] == [0.5, 0.4]


def test_a_long_run_sends_at_most_a_thousand_points_and_keeps_its_spikes():
    long = story(20_000)
    spike = Point(7001, 70.0, 99.0, 1e-3, 1.0, 900.0)
    points = (*long.points[:7000], spike, *long.points[7001:])
    raw = traces(training_figure(story(20_000, points=points)))["loss at this step"]
    assert len(raw["x"]) <= MAX_POINTS
    assert max(raw["y"]) == 99.0
    assert (raw["x"][0], raw["x"][-1]) == (1, 20_000)


def test_a_loss_that_is_no_number_is_a_gap_and_valid_json():
    bad = story(3)
    broken = (bad.points[0], Point(2, 0.0, math.nan, 1e-3, None, None), bad.points[2])
    raw = traces(training_figure(story(3, points=broken)))["loss at this step"]
    assert raw["y"] == [3.0, None, 1.0]


def test_the_figure_carries_no_template_and_a_fixed_height():
    layout = json.loads(figure_value(training_figure(story(5))))["layout"]
    assert not layout.get("template")
    assert layout["height"] > 200
    assert layout["paper_bgcolor"] == "rgba(0,0,0,0)"


def test_zoom_survives_new_points_but_not_another_run():
    revision = [json.loads(figure_value(training_figure(one)))["layout"]["uirevision"]
                for one in (story(5), story(6), story(5, name="another"))]
    assert revision[0] == revision[1] != revision[2]


def test_smoothing_starts_at_the_first_value_and_follows():
    assert smoothed([2.0, 2.0, 2.0]) == [2.0, 2.0, 2.0]
    falling = smoothed([4.0, None, 2.0, 1.0])
    assert falling[0] == 4.0 and falling[1] is None
    assert 1.0 < falling[3] < falling[2] < 4.0


def test_decimation_keeps_order_and_ends():
    kept = decimate([float(number % 7) for number in range(5000)], 100)
    assert kept == sorted(set(kept)) and len(kept) <= 100
    assert kept[0] == 0 and kept[-1] == 4999
    assert decimate([None] * 500, 100) == [0, 499]
