"""`evaluate` with the real lm-eval on the tiny model and tasks of one's own, without network."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.errors import SetupError
from studio.evaluation.record import read_evaluations
from studio.recipe import Recipe, save_recipe
from studio.runs import Run
from studio.settings import Settings
from tests.extras import call_with_extras
from tests.training.conftest import MakeRecipe

Call = Callable[..., tuple[int, str, str]]

_TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: orders.jsonl
test_split: train
output_type: {kind}
doc_to_text: "{{{{question}}}}"
{more}
metadata:
  version: 1
"""
_CHOICE = """\
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true"""
_WRITTEN = """\
doc_to_target: "{{choices[answer]}}"
generation_kwargs:
  until: ["<|im_end|>"]
  max_gen_toks: 8
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true"""


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    """Two tasks over one data file that lies beside them."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, kind, more in (("orders_choice", "multiple_choice", _CHOICE),
                             ("orders_written", "generate_until", _WRITTEN)):
        (folder / f"{name}.yaml").write_text(_TASK.format(name=name, kind=kind, more=more))
    with (folder / "orders.jsonl").open("w", encoding="utf-8") as file:
        for number in range(6):
            file.write(json.dumps({"question": f"{number} pizza", "answer": number % 2,
                                   "choices": [" yes", " no"]}) + "\n")
    return folder


def test_without_lm_eval_the_command_that_installs_it_is_told(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    from studio.evaluation.harness import require_harness

    with pytest.raises(SetupError, match="not installed") as raised:
        require_harness()
    assert 'pip install "lm_eval' in raised.value.hint
    code, _, words = call("evaluate", "nothing", "--tasks", ",")
    assert code == 1 and "--tasks names no task" in words


@pytest.mark.slow
def test_base_and_adapter_answer_the_same_tasks_and_the_run_keeps_both_scores(
    python_with_extras: Path, settings: Settings, make_recipe: MakeRecipe, task_folder: Path,
    tmp_path: Path,
) -> None:
    recipe: Recipe = make_recipe(training__max_steps=4, monitor__trackio=True,
                                 monitor__tensorboard=True)
    save_recipe(recipe, tmp_path / "recipe.yaml")
    home = ("--home", str(settings.home), "--offline", "--json")
    database = {"TRACKIO_DIR": str(tmp_path / "trackio")}
    trained = call_with_extras(python_with_extras, "train", str(tmp_path / "recipe.yaml"),
                               "--run", "a", *home, environment=database)
    assert json.loads(trained.stdout)["state"] == "done", trained.stderr
    run = Run(settings.runs / "a")
    assert _trackio_losses(tmp_path / "trackio") == [
        (point.step, point.loss) for point in run.story().points]

    done = call_with_extras(
        python_with_extras, "evaluate", "a", "--tasks", "orders_*", "--folder", str(task_folder),
        "--limit", "4", *home)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    [kept] = read_evaluations(run)
    assert [(score.task, score.metric, score.count) for score in kept.scores] == [
        ("orders_choice", "acc", 4), ("orders_written", "exact_match", 4)]
    assert all(0 <= score.base <= 1 and 0 <= score.tuned <= 1 for score in kept.scores)
    assert kept.scores[0].higher_is_better and kept.limit == 4
    assert told["scores"][0]["base"] == kept.scores[0].base
    assert kept.versions["lm_eval"]

    unknown = call_with_extras(python_with_extras, "evaluate", "a", "--tasks", "orders_chose",
                               "--folder", str(task_folder), *home)
    assert unknown.returncode == 1
    assert "orders_choice" in json.loads(unknown.stdout)["hint"]


def _trackio_losses(folder: Path) -> list[tuple[int, float]]:
    """From the database that `trackio show` reads."""
    import sqlite3

    [path] = folder.glob("*.db")
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT step, metrics FROM metrics ORDER BY step").fetchall()
    return [(step, json.loads(text)["train/loss"]) for step, text in rows
            if "train/loss" in json.loads(text)]
