"""What is marked on the training plot, as traces and lines."""

from __future__ import annotations

import json
from typing import Any

from studio.story import Alarm
from studio.ui.charts import training_figure
from studio.ui.live_plot import figure_value
from tests.ui.work import story

ALARMS = (Alarm("short_run", "warning", 0, "Few steps.", "More."),
          Alarm("spike", "warning", 7, "The loss <b>jumped</b>.", "Once is nothing."),
          Alarm("diverging", "bad", 7, "The run is coming apart.", "Lower the rate."))


def figure(**values: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(figure_value(training_figure(story(20, **values))))
    return found


def traces(found: dict[str, Any]) -> dict[str, Any]:
    return {trace["name"]: trace for trace in found["data"]}


def test_alarms_stand_on_a_line_of_their_own_below_the_loss() -> None:
    found = figure(alarms=ALARMS)
    alarm, warning = traces(found)["alarm"], traces(found)["warning"]
    assert (alarm["x"], warning["x"]) == ([7], [0])
    assert alarm["yaxis"] == warning["yaxis"] == "y3"
    rate, lane, loss = (found["layout"][axis]["domain"] for axis in ("yaxis2", "yaxis3", "yaxis"))
    assert rate[1] < lane[0] < lane[1] < loss[0]
    assert [shape["x0"] for shape in found["layout"]["shapes"]] == [7, 0]
    assert all(shape["layer"] == "below" for shape in found["layout"]["shapes"])


def test_alarms_of_one_step_share_a_mark_and_their_words_are_escaped() -> None:
    [text] = traces(figure(alarms=ALARMS))["alarm"]["text"]
    assert text == "The loss &lt;b&gt;jumped&lt;/b&gt;.<br>The run is coming apart."


def test_the_best_of_several_evaluations_is_marked_and_the_hover_tells_perplexities() -> None:
    found = traces(figure(evals=((10, 0.5), (15, 0.3), (20, 0.4))))
    assert (found["best"]["x"], found["best"]["y"]) == ([15], [0.3])
    assert found["held-out loss"]["text"] == [
        " (perplexity 1.649)", " (perplexity 1.35, the best)", " (perplexity 1.492)"]
    assert "best" not in traces(figure(evals=((10, 0.5),)))


def test_steps_at_which_memory_forced_a_change_are_marked() -> None:
    found = traces(figure(adaptations=((12, "Micro-batch 2 instead of 4."),)))
    assert found["adapted"]["x"] == [12]


def test_a_run_in_which_all_is_well_has_no_such_line() -> None:
    assert "yaxis3" not in figure()["layout"]
