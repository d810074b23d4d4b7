"""Killed at any moment, a run goes on to the very losses and adapter of an undisturbed one.

A real process trains and gets a real SIGKILL, at random moments (the seed is printed) and at the
places where it could hurt most; then the same run is resumed, and killed again.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from tests.training.conftest import MakeRecipe
from tests.training.killable import PLACES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and sends SIGKILL")


class Killable:
    """The process of `killable.py`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.training.killable"], text=True,
            cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def train(self, run: Run, kill: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on with `run` until it is done, or dead."""
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {"run": str(run.path), "home": str(self._home), "kill": kill or {}}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert answer["killed"] or answer["status"] == 0, run.story().error
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture
def killable(settings: Settings) -> Iterator[Killable]:
    process = Killable(settings.home)
    yield process
    process.close()


def _figures(run: Run) -> dict[str, set[tuple[Any, ...]]]:
    """Everything that was measured at each step, in all attempts; one value each if all is well."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    for event in run.events():
        if event["type"] == "log":
            value = (event["loss"], event["grad_norm"], event["learning_rate"], event["tokens"])
        elif event["type"] == "eval":
            value = (event["loss"],)
        else:
            continue
        found.setdefault(f"{event['type']} {event['step']}", set()).add(value)
    return found


def _result(run: Run) -> bytes:
    [weights] = run.adapter_path.glob("*.safetensors")
    return weights.read_bytes()


def _kill_again_and_again(
    killable: Killable, settings: Settings, recipe: Recipe, random_kills: int
) -> Counter[str]:
    """The kills by kind; asserts that each run ends as the undisturbed one did."""
    began = time.monotonic()
    whole = create_run(settings, recipe, "undisturbed")
    operations = killable.train(whole)["operations"]
    seconds = time.monotonic() - began
    assert whole.story().state == "done"
    asked = whole.story().total_steps * recipe.training.gradient_accumulation
    seed = int(os.environ.get("KILL_SEED", time.time_ns() % 10**6))
    sys.stdout.write(f"seed {seed}, {operations} file operations, {seconds:.1f} s undisturbed\n")
    moments = random.Random(seed)
    kills: Counter[str] = Counter()
    runs = [create_run(settings, recipe, "killed-1")]

    def kill(plan: dict[str, Any]) -> None:
        if runs[-1].story().state == "done":
            runs.append(create_run(settings, recipe, f"killed-{len(runs) + 1}"))
        if killable.train(runs[-1], plan)["killed"]:
            kills[plan.get("place") or next(iter(plan))] += 1

    for place in PLACES:
        kill({"place": place})
    for number in itertools.count():  # a moment may lie behind the end of the run
        if kills.total() == len(PLACES) + random_kills:
            break
        kill([{"file_operation": moments.randint(1, operations // 2)},
              {"asked": moments.randint(1, asked // 2)},
              {"seconds": moments.uniform(0.1, 0.8) * seconds}][number % 3])
    for run in runs:
        if run.story().state != "done":
            killable.train(run)
        assert run.story().state == "done"
        assert _figures(run) == _figures(whole)
        assert _result(run) == _result(whole)
        assert not list(run.path.rglob(".partial-*"))
    sys.stdout.write(f"{kills.total()} kills in {len(runs)} runs: {dict(kills)}\n")
    return kills


def test_ten_kills_and_more_change_no_bit_of_what_is_learned(
    killable: Killable, settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(
        training__max_steps=12, training__gradient_accumulation=2, training__batch_size=2,
        training__save_steps=3, training__save_total_limit=1, adapter__dropout=0.1,
        data__eval_fraction=0.2, training__eval_steps=4, monitor__forgetting=False,
        monitor__sample_records=0)
    kills = _kill_again_and_again(killable, settings, recipe, random_kills=10)
    assert kills.total() == 19
    assert all(kills[place] == 1 for place in PLACES)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [
    {"training__max_steps": 0, "training__epochs": 4.0, "training__logging_steps": 3},
    {"adapter__method": "none", "training__learning_rate": 1e-3, "data__packing": True,
     "training__batch_size": 1, "training__optimizer": "adafactor"},
    {"monitor__forgetting": True, "monitor__sample_records": 2, "training__keep": "best",
     "model__dtype": "bfloat16"},
], ids=str)
def test_forty_kills_change_no_bit_with_other_settings_either(
    killable: Killable, settings: Settings, make_recipe: MakeRecipe, changes: dict[str, Any]
) -> None:
    recipe = make_recipe(**{
        "training__max_steps": 24, "training__gradient_accumulation": 2, "training__batch_size": 2,
        "training__save_steps": 5, "adapter__dropout": 0.1, "data__eval_fraction": 0.2,
        "training__eval_steps": 4, "monitor__forgetting": False, "monitor__sample_records": 0,
        **changes})
    kills = _kill_again_and_again(killable, settings, recipe, random_kills=40)
    assert kills.total() == 49
