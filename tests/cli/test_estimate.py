"""`estimate`: each job, and explanations that fit a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from studio.cli import main
from studio.device import pick_device
from studio.hardware.memory import estimate
from studio.hardware.part_words import assumptions
from studio.recipe import Recipe
from studio.settings import Settings
from tests.hardware.shapes import shape_of


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], settings: Settings) -> Any:
    """Runs `estimate starter` with more arguments; gives (exit code, output, errors)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["estimate", "starter", *arguments, "--home", str(settings.home)])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.mark.parametrize("job", ["train", "chat", "merge", "gguf"])
def test_every_job_gives_parts_that_add_up(call: Any, job: str) -> None:
    code, out, err = call("--for", job, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["job"] == job
    assert sum(found["parts"].values()) == found["total_bytes"]
    assert set(found["formulas"]) == set(found["parts"])
    assert found["low_bytes"] < found["total_bytes"] < found["high_bytes"]
    assert found["assumptions"] and found["moment"] and found["basis"]
    if job in ("merge", "gguf"):
        assert found["disk_bytes"] == sum(found["disk"].values()) > 100_000_000


@pytest.mark.parametrize("job", ["train", "chat", "merge", "gguf"])
def test_an_explanation_names_every_part_and_fits_eighty_columns(call: Any, job: str) -> None:
    found = json.loads(call("--for", job, "--json")[1])
    code, out, err = call("--for", job, "--explain")
    assert code == 0, err
    together = " ".join(out.split())
    for formula in found["formulas"].values():
        assert " ".join(formula.split()) in together
    for line in found["assumptions"]:
        assert " ".join(line.split()) in together
    assert " ".join(found["basis"].split()) in together
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(("method", "words", "has_share"), [
    ("sft", "4 examples of 512 tokens at once", True),
    ("pretrain", "4 rows of text of 512 tokens", False),
    ("dpo", "4 pairs of answers of 2 × 512 tokens", True),
    ("kto", "4 judged answers of 512 tokens", True),
    ("reward", "4 pairs of answers of 2 × 512 tokens", False),
    ("grpo", "4 answers of its own of 256 tokens behind prompts of 512 tokens", False),
])
def test_what_is_taken_for_granted_speaks_of_the_method(
    method: str, words: str, has_share: bool
) -> None:
    recipe = Recipe().with_values({
        "training.method": method, "training.batch_size": 4, "data.max_length": 512,
        "reinforcement.answer_tokens": 256})
    shape, device = shape_of("starter"), pick_device()
    told = assumptions(recipe, device, estimate(recipe, shape, device))
    assert told[0].startswith(words)
    assert any("are answers and carry loss" in line for line in told) is has_share


def test_more_columns_and_longer_conversations_take_more(call: Any) -> None:
    def total(*arguments: str) -> int:
        return int(json.loads(call("--for", "chat", *arguments, "--json")[1])["total_bytes"])

    assert total("--columns", "1") < total("--columns", "4")
    assert total("--context", "256") < total("--context", "8192")


def test_a_type_of_gguf_has_its_size(call: Any) -> None:
    sizes = [json.loads(call("--for", "gguf", "--type", outtype, "--json")[1])["disk_bytes"]
             for outtype in ("q8_0", "f16", "f32")]
    assert sizes == sorted(sizes)


def test_a_simulation_stands_beside_the_formulas(call: Any) -> None:
    code, out, err = call("--simulate", "--set", "model.dtype=float32", "--json")
    assert code == 0, err
    found = json.loads(out)
    seen = found["simulated"]
    assert seen["peak_bytes"] == pytest.approx(found["allocated_bytes"], rel=0.15)
    assert sum(seen["parts"].values()) == seen["peak_bytes"]
    named = {row["part"] for row in seen["differences"]}
    for part, size in seen["parts"].items():
        apart = abs(size - found["parts"].get(part, 0)) > 0.05 * seen["peak_bytes"]
        assert apart == (part in named)


def test_only_training_is_simulated(call: Any) -> None:
    code, _, err = call("--for", "chat", "--simulate")
    assert code == 2
    assert "training only" in err
