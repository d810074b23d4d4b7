"""`export` and `push` in a terminal: what it would take, what was written, what would be sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.settings import Settings
from tests.browser.chat_runs import home_with_runs


@pytest.fixture
def trained(settings: Settings, tiny_model: Path) -> Settings:
    """A home with a run."""
    home_with_runs(settings.home, tiny_model, ["orders"])
    return settings


def test_the_plan_of_all_formats_is_told_and_nothing_is_written(
    trained: Settings, call: Any
) -> None:
    code, out, err = call("export", "orders", "--as", "all", "--plan", "--json")
    assert code == 0, err
    told = json.loads(out)
    keys = {one["format"]: one for one in told["formats"]}
    assert keys["gguf:q4_k_m"]["bytes"] > 0 and keys["merged"]["path"].endswith("orders-merged")
    assert told["fits"] and told["needed_bytes"] >= sum(one["bytes"] for one in told["formats"])
    assert "Together" in call("export", "orders", "--as", "gguf:q8_0", "--plan")[1]
    assert not trained.exports.exists()


def test_formats_are_written_and_checked_and_a_failed_one_ends_with_exit_code_one(
    trained: Settings, call: Any
) -> None:
    # llama.cpp does not know the tiny model's tokenizer.
    code, out, err = call("export", "orders", "--as", "adapter", "--as", "gguf:f16", "--json")
    assert code == 1, err
    gguf, adapter = json.loads(out)["formats"]
    assert "does not know the tokenizer" in gguf["problem"] and "bytes" not in gguf
    assert adapter["level"] == "same" and adapter["measures"]["top1_agreement"] == 1
    assert (trained.exports / "orders-adapter" / "VERIFICATION.md").is_file()

    code, out, err = call("export", "orders", "--as", "adapter", "--no-verify")
    assert code == 1 and "orders-adapter" in err and "--overwrite" in err
    code, out, err = call("export", "orders", "--as", "adapter", "--no-verify", "--overwrite")
    assert code == 0 and "not checked" in out

    code, out, err = call("push", "orders-adapter", "anna/orders", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["private"] and "url" not in told
    assert "adapter_model.safetensors" in {file["name"] for file in told["files"]}


def test_an_unknown_format_names_those_that_there_are(trained: Settings, call: Any) -> None:
    code, _, err = call("export", "orders", "--as", "zip")
    assert code == 1 and "no format named 'zip'" in err and "gguf:q4_k_m" in err
    assert call("push", "nothing", "anna/orders")[0] == 1
