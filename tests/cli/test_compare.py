"""`compare` and `note` on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import create_run
from studio.settings import Settings


@pytest.fixture
def runs(settings: Settings) -> None:
    """Two runs of three steps that differ in rank."""
    for rank, name in ((8, "small"), (64, "large")):
        run = create_run(settings, Recipe().with_values({"adapter.rank": rank}), name)
        run.append("plan", total_steps=3)
        for step in (1, 2, 3):
            run.append("log", step=step, loss=rank / step, learning_rate=1e-4, tokens=50 * step,
                       elapsed_seconds=float(step))
        run.append("eval", step=3, loss=float("nan") if rank == 64 else 2.5)
        run.append("state", state="done")


def test_compare_tells_figures_differences_and_a_curve(call: Any, runs: None) -> None:
    code, out, err = call("compare", "small", "large", "--metric", "loss", "--by", "token",
                          "--json")
    found = json.loads(out)
    assert code == 0, err
    assert [run["name"] for run in found["runs"]] == ["small", "large"]
    assert [run["last_loss"] for run in found["runs"]] == [8 / 3, 64 / 3]
    assert [run["best"] for run in found["runs"]] == [{"step": 3, "loss": 2.5}, None]
    assert [row["key"] for row in found["differences"]] == ["adapter.rank"]
    assert found["curves"]["small"] == {"x": [50, 100, 150], "y": [8, 4, 8 / 3]}


def test_compare_for_a_person_names_what_differs(call: Any, runs: None) -> None:
    code, out, _ = call("compare", "small", "large", "--metric", "eval_loss")
    assert code == 0
    for words in ("small", "large", "done", "adapter.rank", "2.5000 at step 3", "lowest"):
        assert words in out


def test_points_are_written_to_a_file(call: Any, runs: None, tmp_path: Path) -> None:
    file = tmp_path / "new" / "points.csv"
    code, _, err = call("compare", "small", "large", "--csv", str(file))
    assert code == 0, err
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 6
    assert (rows[0]["run"], float(rows[0]["loss"])) == ("small", 8.0)


def test_a_wrong_name_or_metric_is_a_sentence(call: Any, runs: None) -> None:
    code, _, err = call("compare", "small", "lagre")
    assert code == 1 and "Did you mean large?" in err
    code, out, err = call("compare", "small", "--metric", "lost", "--json")
    assert code == 1 and "no metric named 'lost'" in json.loads(out)["error"]


def test_a_note_and_a_title_are_kept_shown_and_listed(call: Any, runs: None) -> None:
    assert call("note", "small", "Good enough.", "--title", "Quick one")[0] == 0
    _, out, _ = call("note", "small", "--json")
    assert json.loads(out) == {"run": "small", "title": "Quick one", "note": "Good enough."}
    assert "Quick one" in call("runs")[1] and "Good enough." in call("note", "small")[1]
    call("note", "small", "")
    assert json.loads(call("note", "small", "--json")[1])["note"] == ""
    assert json.loads(call("note", "small", "--json")[1])["title"] == "Quick one"
