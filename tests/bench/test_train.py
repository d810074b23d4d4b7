"""The bench of training: both sides train, and the table is computed from what they say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from studio.bench.process_watch import watched_process
from studio.bench.train import FULL, QUICK, Way, _medians, _table, _trained
from studio.bench.train_page import PageBench
from studio.bench.train_process import bench_recipe, told
from studio.files import write_json_safely
from studio.runs import create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import write_orders


def _request(tmp_path: Path, model: Path) -> dict[str, Any]:
    data = write_orders(tmp_path / "orders.jsonl")
    return {"model": str(model), "data": str(data), "output": str(tmp_path / "out"), "steps": 6,
            "batch_size": 4, "max_length": 128, "learning_rate": 2e-4, "rank": 8, "alpha": 16,
            "seed": 42, "limit_seconds": 60, "least_steps": 5, "options": {}}


def _said(began: float, seconds: float, tokens: int, steps: int) -> dict[str, Any]:
    return {"began": began, "steps": [(began + seconds * number, tokens * number, 1.0)
                                      for number in range(1, steps + 1)]}


def test_speed_leaves_out_the_first_steps_and_the_start_counts_from_the_process() -> None:
    said = _said(110.0, 2.0, 100, 6)
    said["steps"][0] = (111.0, 100, 1.0)
    said["steps"][1] = (114.0, 200, 1.0)
    found = _trained(said, 100.0, 5)
    assert math.isclose(found.tokens_per_second, 50)
    assert math.isclose(found.seconds_per_step, 2)
    assert (found.start_seconds, found.first_step_seconds) == (10.0, 11.0)


def _way(name: str, speeds: list[float], start: float) -> Way:
    return _medians(name, [
        _trained(_said(start, 100 / speed, 100, 6), 0.0, round(1000 / speed)) for speed in speeds])


def test_ratios_are_medians_over_rounds_of_the_same_moment() -> None:
    """A round in which the PC was busy slows both, and its ratio is as good as any other."""
    studio, plain = _way("studio", [30, 3, 30], 8.0), _way("plain", [10, 1, 15], 10.0)
    page = PageBench(pressing_start_seconds=5.0, pressing_start_again_seconds=2.0)
    table = _table(FULL, [studio, plain], ["a sentence"], page)
    assert math.isclose(table.tokens_per_second_ratio, 3)
    assert math.isclose(table.startup_ratio, 0.8)
    assert table.pressing_start_ratio == 0.5 and table.pressing_start_again_ratio == 0.2
    found = json.loads(json.dumps(table.as_json()))
    assert {"tokens_per_second_ratio", "peak_memory_ratio", "startup_ratio", "studio_overhead",
            "page_answer_ms"} <= found.keys()


def test_without_a_browser_the_table_says_so() -> None:
    ways = [_way("studio", [30], 8.0), _way("plain", [10], 10.0)]
    table = _table(QUICK, ways, [], PageBench(why_not="No browser."))
    assert table.pressing_start_ratio is None and table.as_json()["page_answer_ms"] is None


def test_what_a_run_tells_begins_after_the_process_and_before_its_first_log(
    settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = bench_recipe(_request(tmp_path, tiny_model))
    run = create_run(settings, recipe, "bench")
    train(recipe, run, lambda: False, settings=settings)
    found = told(run)
    assert len(found["steps"]) == 6 and found["choices"]
    begin = run.events()[0]["time"]
    assert begin < found["began"] < found["steps"][0][0]


@pytest.mark.slow
@pytest.mark.parametrize("module", ["train_process", "plain_trl"])
def test_both_sides_train_in_a_process_of_their_own(
    module: str, tiny_model: Path, tmp_path: Path
) -> None:
    request = _request(tmp_path, tiny_model)
    Path(request["output"]).mkdir()
    file = tmp_path / "request.json"
    write_json_safely(file, request)
    last_words, peak_bytes = watched_process(f"studio.bench.{module}", str(file), cwd=tmp_path)
    said = json.loads(last_words)
    assert len(said["steps"]) == 6 and 0 < said["began"] < said["steps"][0][0]
    assert all(0 < loss < 20 for _, _, loss in said["steps"])
    assert peak_bytes > 10**8
