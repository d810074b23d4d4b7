"""The queue and the ends of a run from a terminal."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from studio.arbiter import Arbiter
from studio.recipe import load_recipe
from studio.runs import list_runs, open_run
from studio.settings import Settings
from studio.training.job import JobRunner


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path) -> Path:
    """Two steps of the tiny model on eight rows, with nothing watched."""
    rows = [{"prompt": f"{n}?", "completion": str(n)} for n in range(8)]
    data = tmp_path / "sums.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    file = tmp_path / "recipe.yaml"
    file.write_text(
        f"model: {{source: {json.dumps(str(tiny_model))}, dtype: float32}}\n"
        f"data: {{source: {json.dumps(str(data))}, max_length: 64, eval_fraction: 0}}\n"
        "training: {max_steps: 2, batch_size: 2, gradient_accumulation: 1, learning_rate: 1e-2}\n"
        "monitor: {forgetting: false, sample_records: 0}\n", encoding="utf-8")
    return file


def test_a_grid_waits_in_the_queue_is_reordered_and_trained(
    call: Any, recipe: Path, settings: Settings
) -> None:
    code, out, _ = call("train", str(recipe), "--queue", "--run", "try", "--grid",
                        "adapter.rank=4,8,16", "--json")
    assert code == 0
    assert json.loads(out) == {"queued": ["try-rank-4", "try-rank-8", "try-rank-16"]}
    code, _, err = call("train", str(recipe), "--queue", "--run", "try", "--grid", "rank=2,4")
    assert code == 1 and "already a run named try-rank-4" in err
    assert len(list_runs(settings)) == 3
    found = json.loads(call("queue", "--move", "try-rank-16", "-2", "--remove", "try-rank-4",
                            "--json")[1])
    assert [entry["name"] for entry in found["entries"]] == ["try-rank-16", "try-rank-8"]
    shutil.rmtree(settings.runs / "try-rank-16")
    code, out, _ = call("queue", "--run")
    assert code == 0 and "Run try-rank-8: done at step 2 of 2" in out
    assert "try-rank-16 is no longer in the queue" in out and "Nothing waits" in out
    assert open_run(settings, "try-rank-8").recipe.adapter.rank == 8


def test_a_grid_needs_the_queue_and_its_mistakes_are_told(call: Any, recipe: Path) -> None:
    code, _, err = call("train", str(recipe), "--grid", "adapter.rank=4,8")
    assert code == 1 and "--queue" in err
    code, _, err = call("train", str(recipe), "--queue", "--grid", "adapter.rank=4,x")
    assert code == 1 and "'x'" in err


@pytest.mark.parametrize(("verb", "state"), [
    ("pause", "paused"), ("stop", "stopped"), ("cancel", "cancelled")])
def test_a_run_of_another_program_is_ended_from_a_terminal(
    call: Any, recipe: Path, settings: Settings, verb: str, state: str
) -> None:
    jobs = JobRunner(settings, Arbiter())
    run = jobs.start(load_recipe(recipe).with_values({"training.max_steps": 100_000}), "a")
    while run.story().step < 1:
        assert jobs.active is run
        time.sleep(0.01)
    watched = threading.Thread(target=jobs.wait)
    watched.start()
    code, out, err = call(verb, *(["a"] if verb == "stop" else []), "--json")
    watched.join()
    assert code == 0, err
    assert json.loads(out)["state"] == state and run.has_adapter == (verb == "stop")


def test_nothing_to_end_and_a_run_that_only_waits_are_told(
    call: Any, recipe: Path
) -> None:
    code, _, err = call("pause")
    assert code == 1 and "Nothing is being trained" in err
    call("train", str(recipe), "--queue", "--run", "later")
    code, _, err = call("stop", "later")
    assert code == 1 and "not being trained right now; it is queued" in err
