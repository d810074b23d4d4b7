"""`blend` on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import create_run
from studio.settings import Settings
from tests.chat.conftest import make_adapter


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("trained")
    return [make_adapter(tiny_model, folder / name, seed=seed, target_modules=["q_proj"])
            for seed, name in enumerate(("orders", "style"))]


@pytest.fixture(autouse=True)
def runs(trained: list[Path], tiny_model: Path, settings: Settings) -> None:
    recipe = Recipe().with_values({"model.source": str(tiny_model)})
    for adapter in trained:
        run = create_run(settings, recipe, adapter.name)
        shutil.copytree(adapter, run.adapter_path)


def test_blend_mixes_runs_by_weight_and_the_blend_is_listed(call: Any, settings: Settings) -> None:
    code, out, err = call("blend", "both", "--of", "orders:0.7", "--of", "style:0.3", "--method",
                          "ties", "--density", "0.5", "--json")
    assert code == 0, err
    made = json.loads(out)
    assert made["words"] == "0.7 orders + 0.3 style by ties"
    assert Path(made["path"]) == settings.adapters / "both" and made["bytes"] > 0
    assert [one["name"] for one in json.loads(call("blend", "--json")[1])["blends"]] == ["both"]


def test_for_a_person_it_says_what_was_made_and_what_comes_next(call: Any) -> None:
    assert "no blends yet" in call("blend")[1]
    code, out, err = call("blend", "sum", "--of", "orders", "--of", "style:-0.5", "--method", "cat")
    assert code == 0, err
    for words in ("1 orders - 0.5 style by cat, rank 8", "launch.py chat sum"):
        assert words in " ".join(out.split())
    assert "1 orders - 0.5 style by cat" in " ".join(call("blend")[1].split())


def test_a_blend_is_named_wherever_a_run_is(call: Any, trained: list[Path]) -> None:
    assert call("blend", "one", "--of", "orders", "--of", f"{trained[1]}:0.2")[0] == 0
    code, _, err = call("blend", "two", "--of", "one:0.5", "--of", "style:0.5")
    assert code == 0, err
    code, out, err = call("chat", "two", "--prompt", "Pizza?", "--max-tokens", "3", "--json")
    assert code == 0, err
    assert set(json.loads(out)["answers"]) == {"base", "two"}


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--of", "orders"], "The blend has no name."),
    (["new", "--of", "orders:much"], "the weight 'much' is no number"),
    (["new", "--of", "orders:1", "--of", "stile:1"], "Did you mean style?"),
    (["new"], "needs an adapter"),
    (["new", "--of", "orders", "--of", "style", "--method", "tis"], "Did you mean ties?"),
    (["new", "--of", "orders", "--of", "style", "--density", "0.5"], "density means nothing"),
])
def test_a_mistake_is_a_sentence(arguments: list[str], sentence: str, call: Any,
                                 settings: Settings) -> None:
    code, _, err = call("blend", *arguments)
    assert code == 1 and sentence in err
    assert not settings.adapters.exists()
