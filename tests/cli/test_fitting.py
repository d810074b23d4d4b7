"""`fit` and `sizes` on the command line: what they find, write, and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import load_recipe

LLAMA = "model: {source: meta-llama/Llama-3.1-8B-Instruct}\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """An 8B model at the studio's plain settings."""
    file = tmp_path / "recipe.yaml"
    file.write_text(LLAMA, encoding="utf-8")
    return file


def test_fit_finds_settings_for_a_card_and_writes_them_beside(call: Any, recipe: Path) -> None:
    written = recipe.with_name("fitting.yaml")
    code, out, err = call("fit", str(recipe), "--card", "RTX 3060", "--apply", str(written),
                          "--json")
    found = json.loads(out)
    assert code == 0, err
    assert found["place"] == "RTX 3060 12 GB"
    assert (found["fits"], found["fitted_already"]) == (True, False)
    assert found["after"]["high_bytes"] <= found["free_bytes"]
    assert load_recipe(written).model_dump(mode="json") == found["recipe"]
    assert recipe.read_text(encoding="utf-8") == LLAMA

    code, out, _ = call("fit", str(written), "--card", "RTX 3060", "--json")
    assert json.loads(out)["fitted_already"] is True
    assert json.loads(out)["changes"] == []


def test_fit_says_for_a_person_what_changes_and_why(call: Any, recipe: Path) -> None:
    code, out, _ = call("fit", str(recipe), "--card", "RTX 3060")
    assert code == 0
    for words in ("RTX 3060 12 GB", "Quantization", "QLoRA", "Before", "After",
                  "Fits with these changes"):
        assert words in out


def test_fit_leaves_alone_what_fits(call: Any) -> None:
    code, out, _ = call("fit", "starter", "--card", "RTX 4090")
    assert code == 0
    assert "Nothing has to change" in out


def test_fit_says_what_would_fit_where_nothing_does(call: Any, recipe: Path) -> None:
    code, out, _ = call("fit", str(recipe), "--card", "RTX 4090", "--memory", "3", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["fits"] is False
    assert found["free_bytes"] == 3 * 10**9
    assert any("smallest card" in sentence for sentence in found["advice"])
    assert any("largest usual model" in sentence for sentence in found["advice"])

    file = recipe.with_name("never.yaml")
    code, _, err = call("fit", str(recipe), "--card", "RTX 4090", "--memory", "3", "--apply",
                        str(file))
    assert code == 1
    assert "Nothing was written" in err
    assert not file.exists()


def test_sizes_gives_a_level_and_a_size_for_every_model_and_method(call: Any) -> None:
    code, out, _ = call("sizes", "--card", "RTX 4090", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["place"] == "RTX 4090 24 GB"
    for row in found["rows"]:
        for method in ("full", "lora", "qlora"):
            assert row[method]["level"] in ("comfortable", "tight", "no")
            assert row[method]["total_bytes"] > 0
    assert "comfortable" in call("sizes", "--card", "RTX 4090")[1]


def test_sizes_is_about_this_pc_unless_told_otherwise(call: Any) -> None:
    assert json.loads(call("sizes", "--json")[1])["place"].startswith("This PC")
    given = json.loads(call("sizes", "--memory", "6", "--json")[1])
    assert given["free_bytes"] == 6 * 10**9


@pytest.mark.parametrize("arguments", [("fit", "starter"), ("sizes",)])
@pytest.mark.parametrize(("option", "value", "sentence"), [
    ("--card", "RTX 4061", "RTX 4060 8 GB"), ("--card", "A100", "A100 40 GB, A100 80 GB"),
    ("--memory", "-1", "nothing to train in"),
])
def test_a_card_that_is_none_is_a_sentence(
    call: Any, arguments: tuple[str, ...], option: str, value: str, sentence: str
) -> None:
    code, out, err = call(*arguments, option, value)
    assert code == 1
    assert sentence in err
    assert "Traceback" not in out + err
