"""The real mergekit merges models of one make: every method is held to its formula."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.export.clean import holds_text
from tests.export.mergekit_with_extras import DENSITY, SOUR, SWEET, T
from tests.extras import ROOT, call_with_extras
from tests.tiny import make_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
Tensors = dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose exports are three models of one make, and one that knows a token of its own."""
    home = tmp_path_factory.mktemp("merging") / "home"
    for seed, name in enumerate(("base", "sweet", "sour", "strange")):
        make_tiny_model(home / "exports" / name, seed=seed)
    _with_a_token_of_its_own(home / "exports" / "strange")
    return home


def _with_a_token_of_its_own(folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.add_tokens(["<mine>"])
    model: Any = AutoModelForCausalLM.from_pretrained(str(folder))
    model.resize_token_embeddings(len(tokenizer))
    shutil.rmtree(folder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def told(home: Path, python_with_extras: Path) -> dict[str, Any]:
    done = subprocess.run(
        [python_with_extras, "-m", "tests.export.mergekit_with_extras", home],
        capture_output=True, encoding="utf-8", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def tensors(home: Path, name: str) -> Tensors:
    from safetensors.torch import load_file

    loaded = load_file(home / "exports" / name / "model.safetensors")
    return {key: tensor.double() for key, tensor in loaded.items()}


def average(_: Any, sweet: Any, sour: Any) -> Any:
    return SWEET * sweet + SOUR * sour


def arc(_: Any, sweet: Any, sour: Any) -> Any:
    cosine = float((sweet * sour).sum() / (sweet.norm() * sour.norm()))
    if abs(cosine) > 0.9995:
        return (1 - T) * sweet + T * sour
    angle = math.acos(cosine)
    return (math.sin((1 - T) * angle) * sweet + math.sin(T * angle) * sour) / math.sin(angle)


def elected(base: Any, sweet: Any, sour: Any, *, density: float, averages: bool) -> Any:
    """TIES (arXiv:2306.01708): trim, elect a sign, and take what agrees."""
    import torch

    changes = []
    for weight, model in ((SWEET, sweet), (SOUR, sour)):
        # As mergekit, which computes in float32: else numbers of the same size would fall out
        # differently.
        change = (model.float() - base.float()).double()
        kept = torch.zeros(change.numel(), dtype=torch.bool)
        count = max(1, int(density * change.numel()))
        kept[change.abs().flatten().argsort(descending=True)[:count]] = True
        changes.append(weight * torch.where(kept.reshape(change.shape), change, 0.0))
    stacked = torch.stack(changes)
    agrees = stacked.sign() == torch.where(stacked.sum(0) >= 0, 1.0, -1.0)
    summed = (stacked * agrees).sum(0)
    weights = torch.tensor([SWEET, SOUR]).double().reshape(-1, *[1] * base.dim())
    divisor = (weights * agrees).sum(0)
    return base + (summed / torch.where(divisor == 0, 1.0, divisor) if averages else summed)


FORMULAS: dict[str, Callable[..., Any]] = {
    "linear": average, "slerp": arc,
    "ties": lambda *three: elected(*three, density=DENSITY, averages=True),
    "dare_ties": lambda *three: elected(*three, density=1.0, averages=False),
    "dare_linear": lambda base, sweet, sour: base + SWEET * (sweet - base) + SOUR * (sour - base),
}


@pytest.mark.parametrize("method", FORMULAS)
def test_the_weights_are_what_the_method_gives(
    method: str, home: Path, told: dict[str, Any]
) -> None:
    import torch

    base, sweet, sour = (tensors(home, name) for name in ("base", "sweet", "sour"))
    found = tensors(home, method)
    assert found.keys() == sweet.keys()
    rounding = 2 ** -8 if method == "ties" else 2 ** -23  # ties was written in bfloat16
    for name, tensor in found.items():
        exact = FORMULAS[method](base[name], sweet[name], sour[name])
        assert torch.allclose(tensor, exact, rtol=rounding, atol=1e-6), name


def test_what_is_dropped_follows_from_the_seed(home: Path, told: dict[str, Any]) -> None:
    once, again, otherwise = (
        (home / "exports" / f"drawn-{name}" / "model.safetensors").read_bytes()
        for name in ("once", "again", "otherwise"))
    assert once == again and once != otherwise


def test_each_merge_is_a_whole_folder_that_loads_answers_and_names_no_path(
    home: Path, told: dict[str, Any]
) -> None:
    assert told["problems"] == []
    for name in ("linear", "slerp", "ties", "union"):
        warning, words = told["checks"][name]
        assert warning == "" and "loads in plain transformers and answers" in words
        assert ("worked out again" in words) == (name != "ties")
    for name, (foretold, written) in told["foretold"].items():
        folder = home / "exports" / name
        # Besides the weights a small model has a few kilobytes of settings.
        assert abs(foretold - written) < 12_000, name
        assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                "chat_template.jinja", "generation_config.json", "mergekit_config.yml",
                "README.md", "export.json"} == {path.name for path in folder.iterdir()}
        assert holds_text(folder, str(home)) == []
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert (folder / "mergekit_config.yml").read_text(encoding="utf-8").rstrip() in card
    config = json.loads((home / "exports" / "ties" / "config.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "bfloat16"
    assert (home / "exports" / "linear" / "tokenizer.json").read_bytes() == (
        home / "exports" / "sweet" / "tokenizer.json").read_bytes()


def test_all_tokens_of_all_models_have_their_rows(home: Path, told: dict[str, Any]) -> None:
    import torch
    from transformers import AutoTokenizer

    folder = home / "exports" / "union"
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
    strange: Any = AutoTokenizer.from_pretrained(str(home / "exports" / "strange"))
    number, there = (one.convert_tokens_to_ids("<mine>") for one in (tokenizer, strange))
    rows, own = (tensors(home, name)["model.embed_tokens.weight"] for name in ("union", "strange"))
    assert rows.shape[0] == len(tokenizer)
    assert torch.allclose(rows[number], own[there], atol=1e-6)


def test_it_tells_how_far_it_is_stops_in_seconds_and_replaces_nothing_unasked(
    told: dict[str, Any]
) -> None:
    assert {"Starting mergekit", "Merging tensor by tensor", "Completing the folder"} <= {
        *told["steps"]}
    assert "exists already" in told["taken"]
    assert told["stopped_seconds"] < 10 and told["left_by_stop"] == []


def test_the_verb_merges_what_a_kept_yaml_says(
    home: Path, told: dict[str, Any], python_with_extras: Path
) -> None:
    kept = home / "exports" / "linear" / "mergekit_config.yml"
    done = call_with_extras(python_with_extras, "mergekit", "from-file", "--config", str(kept),
                            "--home", str(home), "--offline", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["words"] == "0.7 sweet + 0.3 sour by linear"
    assert found["check"]["warning"] == "" and len(found["check"]["answers"]) == 2
    assert (home / "exports" / "from-file" / "model.safetensors").read_bytes() == (
        home / "exports" / "linear" / "model.safetensors").read_bytes()
