"""`mergekit` on the command line, as far as it goes without the optional package."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.settings import Settings
from tests.tiny import make_tiny_model


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("alike")
    return [str(make_tiny_model(folder / name, seed=seed))
            for seed, name in enumerate(("sweet", "sour"))]


def test_the_yaml_can_be_shown_kept_and_given_back(
    two: list[str], call: Any, tmp_path: Path, settings: Settings
) -> None:
    code, out, err = call("mergekit", "both", "--of", f"{two[0]}:0.75", "--of", f"{two[1]}:0.25",
                          "--dtype", "bfloat16", "--show-yaml")
    assert code == 0, err
    told = yaml.safe_load(out)
    assert [one["parameters"]["weight"] for one in told["models"]] == [0.75, 0.25]
    assert told["out_dtype"] == "bfloat16" and "of disk" in out
    (tmp_path / "again.yml").write_text(out, encoding="utf-8")
    code, out, err = call("mergekit", "both", "--config", str(tmp_path / "again.yml"),
                          "--show-yaml", "--json")
    assert code == 0, err
    again = json.loads(out)
    assert yaml.safe_load(again["yaml"]) == told and again["words"] == (
        "0.75 sweet + 0.25 sour by linear")
    assert not settings.exports.exists()


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--of", "{0}"], "needs two models"),
    (["--of", "{0}:much", "--of", "{1}"], "the weight 'much' is no number"),
    (["--of", "{0}", "--of", "{1}", "--method", "tis"], "Did you mean ties?"),
    (["--of", "{0}", "--of", "{1}", "--method", "ties"], "no base is chosen"),
    (["--of", "{0}", "--of", "{1}", "--density", "0.5"], "density means nothing"),
    (["--of", "{0}", "--config", "{0}/config.json"], "Both --config and --of"),
    (["--config", "{0}/nothing.yml"], "cannot be read"),
])
def test_a_mistake_is_a_sentence(
    arguments: list[str], sentence: str, two: list[str], call: Any
) -> None:
    code, _, err = call("mergekit", "new", *(text.format(*two) for text in arguments),
                        "--show-yaml")
    assert code == 1 and sentence in " ".join(err.split())


def test_without_mergekit_the_verb_says_how_to_install_it(
    two: list[str], call: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mergekit", None)
    code, _, err = call("mergekit", "--of", two[0], "--of", two[1])
    assert code == 1 and 'pip install "mergekit' in " ".join(err.split())
    assert not settings.exports.exists()
