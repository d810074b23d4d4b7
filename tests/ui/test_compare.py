"""Comparing runs on the page: the plot, the figures, the table of runs, name, note and deletion."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.comparison import differences, summary
from studio.errors import RunError
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.ui.charts_compare import (
    COLOURS,
    MAX_POINTS,
    Curve,
    View,
    colour,
    compare_figure,
    dash,
    places,
)
from studio.ui.live_plot import figure_value
from studio.ui.panels import compare, compare_view, run_about, runs_table
from studio.ui.panels.runs_table_view import Order, ordered, runs_view
from studio.ui.seen import NEVER
from studio.ui.shared import Shared
from studio.ui.shelf import RunRow
from studio.ui.studio import Studio

SKIP = gr.skip()


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return Studio(settings)


def made(studio: Studio, name: str, steps: int = 3, **values: Any) -> Run:
    run = create_run(studio.settings, Recipe().with_values(values), name)
    for step in range(1, steps + 1):
        run.append("log", step=step, loss=3 / step, learning_rate=1e-4, tokens=10 * step,
                   elapsed_seconds=float(step))
    run.append("state", state="done")
    return run


def figure(curves: list[Curve], **view: Any) -> Any:
    return json.loads(figure_value(compare_figure(curves, View(**view))))


def sent(page: list[Any]) -> dict[str, Any]:
    """The parts of a comparison that were not skipped, by name."""
    return {name: part for name, part in zip(compare.PARTS, page, strict=False) if part != SKIP}


ONE = Curve("a", "First", 0, [1, 2, 3], [3.0, 2.0, 1.0])
TWO = Curve("b", "Second", 4, [1, 2], [2.0, 1.5])


def test_curves_lie_over_one_another_in_the_colours_of_their_runs():
    first, second = figure([ONE, TWO])["data"]
    assert (first["name"], first["x"], first["y"]) == ("First", [1, 2, 3], [3, 2, 1])
    assert [first["line"]["color"], second["line"]["color"]] == [COLOURS[0], COLOURS[4]]


def test_a_run_keeps_its_place_whatever_comes_and_goes():
    before = places(["a", "b", "c"], {})
    assert before == {"a": 0, "b": 1, "c": 2}
    assert places(["c", "a"], before) == {"c": 2, "a": 0}
    assert places(["c", "a", "d"], {"c": 2, "a": 0}) == {"c": 2, "a": 0, "d": 1}
    looks = {(colour(place), dash(place)) for place in range(40)}
    assert len(looks) == 40


def test_the_zoom_stays_for_other_runs_and_smoothing_and_not_for_other_axes():
    def revision(curves: list[Curve], **view: Any) -> str:
        return figure(curves, **view)["layout"]["uirevision"]

    plain = revision([ONE])
    assert plain == revision([ONE, TWO]) == revision([TWO], smoothing=0.9)
    assert len({plain, revision([ONE], by="token"), revision([ONE], is_log=True),
                revision([ONE], metric="eval_loss")}) == 4


def test_a_smoothed_curve_lies_over_the_values_as_they_were():
    raw, smooth = figure([ONE], smoothing=0.5)["data"]
    assert raw["y"] == [3, 2, 1] and raw["showlegend"] is False
    assert smooth["y"][0] == 3 and 1 < smooth["y"][2] < 2
    assert raw["legendgroup"] == smooth["legendgroup"] and raw["uid"] != smooth["uid"]


def test_what_a_logarithm_cannot_show_is_a_gap():
    bad = Curve("a", "a", 0, [1, 2, 3, 4], [1.0, 0.0, math.nan, math.inf])
    (drawn,) = figure([bad], is_log=True)["data"]
    assert drawn["y"] == [1, None, None, None]
    assert figure([bad])["data"][0]["y"] == [1, 0, None, None]


def test_time_is_told_in_the_unit_that_fits_the_longest_run():
    def title(seconds: float) -> tuple[str, float]:
        found = figure([Curve("a", "a", 0, [0, seconds], [1.0, 1.0])], by="time")
        return found["layout"]["xaxis"]["title"]["text"], found["data"][0]["x"][-1]

    assert title(90) == ("seconds of training", 90)
    assert title(600) == ("minutes of training", 10)
    assert title(5 * 3600) == ("hours of training", 5)


def test_many_long_runs_send_a_bounded_number_of_points():
    long = [Curve(str(number), "x", number, list(range(20_000)), [1.0] * 20_000)
            for number in range(12)]
    assert sum(len(trace["x"]) for trace in figure(long)["data"]) <= MAX_POINTS


def test_without_a_point_there_is_no_figure():
    assert compare_figure([], View()) is None
    assert compare_figure([Curve("a", "a", 0, [], []), Curve("b", "b", 0, [1], [math.nan])],
                          View()) is None


def test_titles_are_text_to_the_plot():
    (drawn,) = figure([Curve("a", "<b>%{y}</b>", 0, [1], [1.0])])["data"]
    assert "<b>" not in drawn["name"] and "%{y}" not in drawn["name"]


def test_two_runs_with_the_same_title_are_told_apart():
    assert compare_view.short_labels({"a": "Same", "b": "Same", "c": "Own", "d": ""}) == {
        "a": "Same (a)", "b": "Same (b)", "c": "Own", "d": "d"}


def test_figures_and_differences_are_escaped_and_the_lowest_loss_is_marked(studio: Studio):
    rows = []
    for name, loss in (("a", 0.5), ("b", 0.4)):
        run = made(studio, name)
        run.append("eval", step=3, loss=loss)
        rows.append(summary(run.story()))
    labels = {"a": "<i>", "b": "b"}
    page = compare_view.summary_view(rows, labels, {"a": 0, "b": 1})
    assert "<i>" not in page and "&lt;i&gt;" in page
    assert re.findall(r"<strong[^>]*>([\d.]+)", page) == ["0.4000"]
    found = differences({"a": Recipe(), "b": Recipe().with_values({"model.source": "<u>/m"})})
    page = compare_view.differences_view(found, labels, {"a": 0, "b": 1})
    assert "<u>" not in page and "&lt;u&gt;/m" in page


def test_the_comparison_shows_curves_figures_and_what_differs(studio: Studio):
    made(studio, "a", **{"adapter.rank": 8})
    made(studio, "b", steps=5).set_about(title="Second")
    page = sent(compare.page(studio, compare.choose(studio, ["a", "b"]), View(), {}))
    assert [trace["name"] for trace in json.loads(page["plot"])["data"]] == ["a", "Second"]
    assert "5" in page["summary"] and "Rank" in page["differences"]
    assert json.loads(page["kept"]) == {"a": 0, "b": 1}


def test_only_what_changed_is_sent_again(studio: Studio):
    run = made(studio, "a")
    made(studio, "b")
    first = compare.page(studio, compare.choose(studio, ["a", "b"]), View(), {})
    again = compare.page(studio, compare.choose(studio, ["a", "b"]), View(), first[-1])
    assert sent(again) == {} and again[-1] == SKIP
    run.append("log", step=4, loss=0.5, learning_rate=1e-4, tokens=40, elapsed_seconds=4.0)
    grown = sent(compare.page(studio, compare.choose(studio, ["a", "b"]), View(), first[-1]))
    assert set(grown) == {"plot", "summary"}
    assert max(json.loads(grown["plot"])["data"][0]["x"]) == 4


def test_a_run_that_was_deleted_drops_out_and_the_others_keep_their_colour(studio: Studio):
    made(studio, "b")
    chosen = compare.choose(studio, ["gone", "b"], {"gone": 0, "b": 1})
    assert (chosen.places, chosen.gone) == ({"b": 1}, ("gone",))
    page = sent(compare.page(studio, chosen, View(), {}))
    assert page["runs"].value == ["b"]


@pytest.mark.parametrize("kept", ["", "{", "[1]", '"x"', '{"a": "0", "b": -1}', '{"a": 1e9}'])
def test_what_the_browser_kept_is_not_trusted(studio: Studio, kept: str):
    made(studio, "a")
    assert compare.read_places(kept) == {}
    assert compare.read_places('{"a": 3, "b": null}') == {"a": 3}


def test_a_damaged_recipe_is_said_and_the_rest_is_shown(studio: Studio):
    made(studio, "a")
    (made(studio, "b").path / "recipe.yaml").write_text("model: [", encoding="utf-8")
    page = sent(compare.page(studio, compare.choose(studio, ["a", "b"]), View(), {}))
    assert "recipe of b cannot be read" in page["differences"]
    assert len(json.loads(page["plot"])["data"]) == 2


def test_points_are_saved_where_the_page_may_hand_them_out(studio: Studio):
    made(studio, "a")
    file = Path(compare.save_points(studio, ["a"], "loss", "time"))
    assert file.is_relative_to(studio.settings.cache / "page")
    assert file.read_text(encoding="utf-8").splitlines()[:2] == ["run,title,seconds,loss",
                                                                 "a,,1,3.0"]
    with pytest.raises(RunError, match="no points"):
        compare.save_points(studio, ["a"], "score", "step")


def test_a_run_with_recorded_load_has_curves_of_it(studio: Studio):
    run = made(studio, "a")
    times = [event["time"] for event in run.events() if event["type"] == "log"]
    (run.path / "telemetry.jsonl").write_text("".join(
        json.dumps({"time": time, "cpu_percent": 10.0, "ram_used_bytes": 1, "ram_total_bytes": 2,
                    "rss_bytes": 3 * 10**9}) + "\n" for time in times), encoding="utf-8")
    x, y = studio.curves.of(run, "memory", "step")
    assert (x[-1], y[-1]) == (3, 3.0)
    assert studio.curves.summary(run).peak_rss_bytes == 3 * 10**9
    assert studio.curves.of(run, "memory", "step") is studio.curves.of(run, "memory", "step")


def test_an_empty_table_says_what_to_do():
    assert "No runs yet" in runs_view([])


def test_the_table_marks_the_open_run_and_those_compared():
    rows = [RunRow("b", "training", 3, 9, 1.25, 0.0), RunRow("a", "interrupted", 1, 9)]
    page = runs_view(rows, "a", ["b"])
    assert 'aria-current="true" data-run="a"' in page and page.count("aria-current") == 1
    assert 'data-compare="b" aria-checked="true"' in page
    assert 'data-compare="a" aria-checked="false"' in page
    assert "1.2500" in page and "Interrupted" in page and "3 of 9" in page


def test_the_table_shows_title_note_method_and_best_loss_escaped(studio: Studio):
    made(studio, "orders", **{"adapter.rank": 8, "model.quantization": "4bit"}).append(
        "eval", step=3, loss=0.75)
    studio.shelf.get("orders").set_about(title="<b>Mine</b>", note='"quoted" <i>')
    page = runs_view(studio.shelf.rows())
    assert "<b>" not in page and "<i>" not in page
    assert "&lt;b&gt;Mine&lt;/b&gt;" in page and 'title="&quot;quoted&quot;' in page
    assert "SFT, 4-bit LoRA rank 8" in page and "0.7500" in page


def test_the_table_sorts_and_keeps_what_has_no_value_last():
    rows = [RunRow("b", "done", loss=2.0), RunRow("C", "failed"), RunRow("a", "done", loss=1.0),
            RunRow("d", "done", loss=math.nan)]
    first = Order().pressed("loss")
    assert [row.name for row in ordered(rows, first)] == ["a", "b", "C", "d"]
    assert [row.name for row in ordered(rows, first.pressed("loss"))] == ["b", "a", "C", "d"]
    assert [row.name for row in ordered(rows, Order().pressed("run"))] == ["a", "b", "C", "d"]
    assert Order().pressed("nonsense") == Order()
    assert 'aria-sort="ascending"' in runs_view(rows, order=first)


def test_a_row_that_did_not_change_is_not_read_again_and_a_title_shows_at_once(studio: Studio):
    run = made(studio, "a")
    before = studio.shelf.rows()[0]
    assert studio.shelf.rows()[0] is before
    run.set_about(title="New")
    assert studio.shelf.rows()[0].title == "New"


def test_name_and_note_follow_the_open_run_and_leave_typing_alone(studio: Studio):
    made(studio, "a").set_about(title="Mine", note="Text")
    first = run_about.boxes_view(studio, "a", NEVER)
    assert first[1:3] == ["Mine", "Text"]
    assert run_about.boxes_view(studio, "a", first[-1]) == SKIP
    studio.shelf.get("a").set_about(title="Changed elsewhere")
    assert run_about.boxes_view(studio, "a", first[-1])[1] == "Changed elsewhere"


def test_a_deletion_says_first_what_is_lost(studio: Studio):
    run = made(studio, "a")
    run.set_about(title="<b>")
    (run.path / "big.bin").write_bytes(b"x" * 5_000_000)
    question = run_about.question_view(studio, "a")
    assert "5.0 MB" in question and "no way back" in question and "<b>" not in question


def test_the_panels_build_with_private_events(studio: Studio):
    with gr.Blocks() as demo:
        shared = Shared(demo, gr.Tabs())
        chosen = gr.State("")
        compare.build(studio, shared)
        run_about.build(studio, shared, chosen)
        runs_table.build(studio, shared, chosen)
        shared.complete()
    assert [event for event in demo.config["dependencies"]
            if event["api_visibility"] != "private"] == []
    ids = {part["props"].get("elem_id") for part in demo.config["components"]}
    assert {"compare-runs", "compare-plot", "compare-save", "runs-table", "run-title",
            "run-delete-yes"} <= ids
