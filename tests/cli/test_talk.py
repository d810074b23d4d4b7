"""`chat` on the command line: which columns a call makes, and how they write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.settings import Settings
from tests.browser.chat_runs import home_with_runs
from tests.ggufs import write_tiny_gguf, write_tiny_lora


@pytest.fixture(autouse=True)
def runs(tiny_model: Path, settings: Settings) -> None:
    home_with_runs(settings.home, tiny_model, ["orders"], {"orders": [5]})


def answers(call: Any, *arguments: str) -> dict[str, str]:
    code, out, err = call("chat", *arguments, "--prompt", "Two pizzas", "--max-tokens", "6",
                          "--style", "precise", "--json")
    assert code == 0, err
    found: dict[str, str] = json.loads(out)["answers"]
    return found


def test_a_run_its_checkpoint_and_its_strengths_answer_side_by_side(call: Any) -> None:
    found = answers(call, "orders", "orders:0", "orders/checkpoint-5")
    assert list(found) == ["base", "orders", "orders × 0", "orders, step 5"]
    assert found["orders × 0"] == found["base"]
    assert len({found["base"], found["orders"], found["orders, step 5"]}) == 3


def test_a_stop_text_ends_an_answer_and_is_not_shown(call: Any) -> None:
    whole = answers(call, "orders", "--no-base")["orders"]
    stop = whole[2]
    assert answers(call, "orders", "--no-base", "--stop", stop)["orders"] == whole.split(stop)[0]


def test_a_gguf_file_answers_by_its_name_in_the_exports_or_its_path(
    call: Any, settings: Settings, tmp_path: Path
) -> None:
    write_tiny_gguf(settings.exports / "tiny.gguf")
    lora = write_tiny_lora(tmp_path / "lora.gguf")
    found = answers(call, "tiny.gguf", str(lora), f"{lora}:0")
    assert list(found) == ["base", "lora", "lora × 0"]
    assert found["base"] == found["lora × 0"] != found["lora"]
    assert answers(call, "--model", "tiny.gguf") == {"base": found["base"]}


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["gone.gguf"], "There is no file gone.gguf"),
    (["orders", "gone.gguf:much"], "the strength 'much' is no number"),
    (["orders/checkpoint-7"], "has no checkpoint named checkpoint-7"),
    (["orders:much"], "the strength 'much' is no number"),
    (["orders:3"], "must lie between 0 and 2"),
    (["orders", "--style", "wild"], "no sampling preset 'wild'"),
])
def test_a_mistake_is_a_sentence(call: Any, arguments: list[str], sentence: str) -> None:
    code, _, err = call("chat", *arguments, "--prompt", "Pizza?")
    assert code == 1 and sentence in " ".join(err.split())
