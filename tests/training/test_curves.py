"""What trackers are told of a run: rows of numbers, and the recipe without what is private."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from studio.hardware.telemetry import Sample
from studio.recipe import Recipe
from studio.training.curves import public_recipe, rows_of


def _log(step: int, time: float, loss: float) -> dict[str, Any]:
    return {"type": "log", "time": time, "step": step, "loss": loss, "learning_rate": 1e-4,
            "grad_norm": None, "tokens_per_second": 50.0, "tokens": 10 * step, "epoch": 0.5}


def test_rows_hold_every_curve_under_its_own_name() -> None:
    rows = rows_of([
        {"type": "state", "time": 0.0, "state": "training"},
        _log(1, 1.0, 2.5), {"type": "eval", "time": 1.1, "step": 1, "loss": 0.0},
        {"type": "score", "time": 1.2, "step": 1, "scorer": "contains", "value": 0.25, "count": 4},
        {"type": "forgetting", "time": 1.3, "step": 1, "loss": 3.0, "base_loss": 2.0},
    ])
    assert [(row.kind, row.step, row.time) for row in rows] == [
        ("log", 1, 1.0), ("eval", 1, 1.1), ("score", 1, 1.2), ("forgetting", 1, 1.3)]
    assert [row.values for row in rows] == [
        {"train/loss": 2.5, "train/learning_rate": 1e-4, "train/tokens_per_second": 50.0,
         "train/tokens": 10.0, "train/epoch": 0.5},
        {"eval/loss": 0.0, "eval/perplexity": 1.0}, {"score/contains": 0.25},
        {"forgetting/loss": 3.0, "forgetting/base_loss": 2.0}]


def test_what_a_resumed_run_repeats_is_told_once() -> None:
    rows = rows_of([{"type": "plan", "time": 0.0, "start_step": 0}, _log(1, 1.0, 3.0),
                    _log(2, 2.0, 2.0), {"type": "plan", "time": 3.0, "start_step": 1},
                    _log(2, 4.0, 2.5)])
    assert [(row.step, row.values["train/loss"]) for row in rows] == [(1, 3.0), (2, 2.5)]


def test_a_loss_that_is_no_number_stays_in_the_curve() -> None:
    rows = rows_of([_log(1, 1.0, math.nan), {"type": "eval", "time": 1.1, "step": 1, "loss": 1e9}])
    assert math.isnan(rows[0].values["train/loss"])
    assert rows[1].values["eval/perplexity"] == math.inf


def test_the_load_beside_a_loss_is_the_last_one_measured_before_it() -> None:
    samples = [Sample(time=at, cpu_percent=10 * at, ram_used_bytes=2**31, ram_total_bytes=2**34,
                      rss_bytes=0, gpu_used_bytes=3 * 2**30, gpu_temperature_celsius=60)
               for at in (1.0, 2.0)]
    before, between, after = rows_of([_log(1, 0.5, 1.0), _log(2, 1.5, 1.0), _log(3, 9.0, 1.0)],
                                     samples)
    assert "system/cpu_percent" not in before.values
    assert between.values["system/cpu_percent"] == 10
    assert after.values["system/cpu_percent"] == 20
    assert after.values["system/gpu_memory_gib"] == 3 and after.values["system/ram_gib"] == 2
    assert after.values["system/gpu_temperature_celsius"] == 60
    assert "system/gpu_power_watts" not in after.values


def test_the_recipe_is_shown_without_paths_and_without_the_persons_own_prompts(
    tmp_path: Path
) -> None:
    data = tmp_path / "orders.jsonl"
    data.touch()
    told = public_recipe(Recipe().with_values({
        "model.source": r"C:\Users\anna\models\my-llama", "data.source": str(data),
        "data.mix": {str(tmp_path / "more.jsonl"): 0.5, "owner/set": 1.0},
        "data.held_out": "file", "data.eval_source": "~/secret/held.jsonl",
        "monitor.sample_prompts": ["Who is Anna?"],
    }))
    assert told["model"]["source"] == "my-llama" and told["data"]["source"] == "orders.jsonl"
    assert told["data"]["mix"] == {"more.jsonl": 0.5, "owner/set": 1.0}
    assert told["data"]["eval_source"] == "held.jsonl"
    assert told["training"]["learning_rate"] == Recipe().training.learning_rate
    assert str(tmp_path) not in str(told) and "anna" not in str(told).lower()
    assert public_recipe(Recipe().with_values({"model.source": "owner/name"}))["model"][
        "source"] == "owner/name"
