"""Runs laid over one another: axes, curves, differing settings, figures. Stories made by hand."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from typing import Any

import pytest

from studio.comparison import METRICS, differences, points_csv, series, summary
from studio.errors import RunError
from studio.recipe import Recipe
from studio.story import Story, tell


@dataclass(frozen=True)
class Seen:
    """What was recorded at one moment."""

    time: float
    cpu_percent: float = 50.0
    rss_bytes: int = 10**9
    gpu_used_bytes: int | None = None
    gpu_utilization_percent: int | None = None


def log(step: int, time: float, elapsed: float, **values: Any) -> dict[str, Any]:
    return {"type": "log", "step": step, "time": time, "loss": 3 / step, "learning_rate": 1e-4,
            "tokens": 100 * step, "elapsed_seconds": elapsed, **values}


def story(*events: dict[str, Any]) -> Story:
    return tell("orders", [{"type": "plan", "time": 0.0, "total_steps": 20}, *events], False)


# Logged every second step; paused for 1000 s after step 4. Step 2 took 2 s, as every other.
PAUSED = story(log(2, 102, 2.0), {"type": "eval", "time": 103, "step": 3, "loss": 0.7},
               log(4, 104, 4.0), {"type": "state", "time": 105, "state": "paused"},
               log(6, 1106, 6.0), {"type": "eval", "time": 1107, "step": 7, "loss": 0.5})


def test_a_curve_runs_along_steps_tokens_or_seconds_of_training() -> None:
    assert series(PAUSED, [], "loss") == ([2, 4, 6], [1.5, 0.75, 0.5])
    assert series(PAUSED, [], "loss", "token")[0] == [200, 400, 600]
    assert series(PAUSED, [], "loss", "time")[0] == [2, 4, 6]


def test_an_evaluation_between_two_logs_lies_between_them_and_a_later_one_at_the_last() -> None:
    assert series(PAUSED, [], "eval_loss") == ([3, 7], [0.7, 0.5])
    assert series(PAUSED, [], "eval_loss", "token")[0] == [300, 600]
    assert series(PAUSED, [], "eval_loss", "time")[0] == [3, 6]


def test_perplexity_is_the_exponential_of_the_loss_and_may_be_infinite() -> None:
    found = story({"type": "eval", "time": 0, "step": 1, "loss": math.log(20)},
                  {"type": "eval", "time": 0, "step": 2, "loss": 1e4})
    assert series(found, [], "perplexity")[1] == [pytest.approx(20), math.inf]


def test_samples_lie_where_training_was_and_those_of_loading_and_pause_are_left_out() -> None:
    samples = [Seen(time, rss_bytes=int(time) * 10**9)
               for time in (90, 101, 103, 500, 1105, 1106, 1200)]
    assert series(PAUSED, samples, "memory") == ([1, 3, 5, 6], [101, 103, 1105, 1106])
    assert series(PAUSED, samples, "memory", "token")[0] == [100, 300, 500, 600]
    assert series(PAUSED, samples, "memory", "time")[0] == [1, 3, 5, 6]


def test_without_a_gpu_its_curves_are_empty() -> None:
    assert series(PAUSED, [Seen(103)], "gpu_memory") == ([], [])
    assert series(PAUSED, [Seen(103, gpu_used_bytes=2 * 10**9)], "gpu_memory")[1] == [2.0]


def test_a_loss_that_is_no_number_stays_in_the_curve() -> None:
    found = series(story(log(1, 1, 1.0), log(2, 2, 2.0, loss=None)), [], "loss")[1]
    assert found[0] == 3 and math.isnan(found[1])


def test_scores_and_forgetting_are_per_cent() -> None:
    found = story({"type": "score", "time": 0, "step": 5, "scorer": "contains", "value": 0.25,
                   "count": 8},
                  {"type": "forgetting", "time": 0, "step": 5, "loss": 3.3, "base_loss": 3.0})
    assert series(found, [], "score") == ([5], [25.0])
    assert series(found, [], "forgetting")[1] == [pytest.approx(10)]


@pytest.mark.parametrize("metric", METRICS)
def test_a_run_that_has_not_begun_has_empty_curves(metric: str) -> None:
    for by in ("step", "token", "time"):
        assert series(tell("new", [], False), [Seen(1.0)], metric, by) == ([], [])


def test_a_run_recorded_without_tokens_has_no_curve_along_them() -> None:
    old = story(log(1, 1, 1.0, tokens=None), log(2, 2, 2.0, tokens=None))
    assert series(old, [], "loss", "token") == ([], [])
    assert series(old, [], "loss")[0] == [1, 2]


def test_an_unknown_metric_is_an_error_that_lists_all() -> None:
    with pytest.raises(RunError, match="tokens_per_second"):
        series(PAUSED, [], "lost")


def test_only_fields_that_differ_are_listed_with_their_defaults() -> None:
    plain, other = Recipe(), Recipe().with_values({
        "adapter.rank": 8, "data.packing": True, "monitor.sample_prompts": ["Hello"]})
    found = {row.key: row.values for row in differences({"a": plain, "b": other})}
    assert found == {
        "data.packing": {"a": "off", "b": "on"},
        "adapter.rank": {"a": str(plain.adapter.rank), "b": "8"},
        "monitor.sample_prompts": {"a": "–", "b": "Hello"},
    }
    assert differences({"a": plain, "b": plain}) == []


def test_a_recipe_that_cannot_be_read_makes_no_difference() -> None:
    assert differences({"a": Recipe(), "b": None}) == []
    three = differences({"a": Recipe(), "b": None, "c": Recipe().with_values({"adapter.rank": 8})})
    assert [row.values["b"] for row in three] == ["–"]


def test_what_memory_forced_a_run_to_change_is_a_difference() -> None:
    recipe = Recipe().with_values({"training.batch_size": 4})
    (row,) = differences({"a": recipe, "b": recipe}, {"b": {"training.batch_size": 2}})
    assert row.key == "training.batch_size"
    assert row.values == {"a": "4", "b": "2 (for memory; 4 in the recipe)"}


def test_the_figures_of_a_run_and_their_json() -> None:
    found = summary(PAUSED, [Seen(1, rss_bytes=5), Seen(2, rss_bytes=7, gpu_used_bytes=3)])
    assert (found.first_loss, found.last_loss, found.best) == (1.5, 0.5, (7, 0.5))
    assert (found.tokens, found.elapsed_seconds, found.tokens_per_second) == (600, 6.0, 100.0)
    assert (found.peak_rss_bytes, found.peak_gpu_bytes) == (7, 3)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["best"] == {"step": 7, "loss": 0.5} and told["total_steps"] == 20
    bad = summary(story(log(1, 1, 1.0, loss=None)))
    assert math.isnan(bad.last_loss or 0) and bad.to_dict()["last_loss"] is None


def test_the_csv_has_every_point_and_keeps_commas_in_titles() -> None:
    text = points_csv({"a": ([1, 2], [0.1, math.nan]), "b": ([1], [3.0])},
                      {"a": "small, fast", "b": ""}, "loss", "token")
    assert list(csv.reader(io.StringIO(text))) == [
        ["run", "title", "tokens", "loss"], ["a", "small, fast", "1", "0.1"],
        ["a", "small, fast", "2", ""], ["b", "", "1", "3.0"]]
