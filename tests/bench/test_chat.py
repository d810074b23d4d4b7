"""The bench of the chat: every way answers, and the table is computed from what they say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from studio.bench.chat import ADAPTERS, QUICK, Length, Memory, compare, table
from studio.bench.chat_process import (
    FOUR,
    ONE,
    Round,
    answered,
    bench_session,
    in_rounds,
    order_of,
    ways,
)
from studio.bench.lora_folders import make_lora_folders
from studio.settings import Settings


def _one(tokens: int, seconds: float, first: float = 0.1) -> dict[str, float]:
    return {"tokens": tokens, "seconds": seconds, "first_token_seconds": first}


def _round(slowness: float) -> Round:
    return {"batched": [_one(400, 10 * slowness)], "in_turn": [_one(400, 30 * slowness)],
            "single": [_one(100, 8 * slowness)], "generate": [_one(100, 10 * slowness, 0.2)]}


def test_ratios_are_medians_over_rounds_of_the_same_moment() -> None:
    """A round in which the PC was busy slows all ways, and its ratio is as good as any other."""
    lucky = {**_round(1), "batched": [_one(400, 1)]}
    cheap = {**_round(3), "batched": [], "in_turn": [], "single": _round(1)["single"] * 2,
             "generate": [_one(100, 10, 0.2), _one(100, 99, 0.2)]}
    found = table("float32", 100, [_round(1), _round(7), lucky, _round(2), cheap],
                  Memory("four", 500, 900, 220), Memory("plain", 400, 900, 200))
    assert math.isclose(found.batched_over_sequential, 3)
    assert math.isclose(found.single_over_generate, 1.25)
    assert math.isclose(found.memory_ratio, 1.1)
    assert found.first_token_seconds == {"batched": 0.1, "in_turn": 0.1, "single": 0.1,
                                         "generate": 0.2}
    assert {"batched_over_sequential", "single_over_generate", "memory_ratio",
            "first_token_seconds", "machine"} <= json.loads(json.dumps(found.as_json())).keys()


@pytest.fixture(scope="module")
def request_(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    return {"home": str(folder / "home"), "model": str(tiny_model), "tokens": 6, "rounds": 2,
            "seconds": 60, "messages": [{"role": "user", "content": "Two pizzas, please."}],
            "adapters": [str(path) for path in make_lora_folders(
                tiny_model, folder / "adapters", ADAPTERS, rank=4)],
            "loading": {"dtype": "float32", "attention": "sdpa", "device": "cpu"}}


def test_every_round_asks_every_way_for_the_same_tokens(
    request_: dict[str, Any], settings: Settings
) -> None:
    session = bench_session(request_, settings)
    rounds = in_rounds(ways(session, request_), request_)
    assert [[len(one[way]) for way in (*FOUR, *ONE)] for one in rounds] == [
        [1, 1, 2, 2], [0, 0, 2, 2]]
    for one in rounds:
        assert {answer["tokens"] for way in FOUR for answer in one[way]} <= {4 * 6}
        assert {answer["tokens"] for way in ONE for answer in one[way]} == {6}
        assert all(0 < answer["first_token_seconds"] <= answer["seconds"]
                   for name in (*FOUR, "single") for answer in one[name])
    session.close()


def test_no_way_is_always_asked_first_or_last() -> None:
    orders = [order_of(number) for number in range(4)]
    assert orders[0] == ["batched", "in_turn", "single", "generate", "generate", "single"]
    assert orders[1] == ["generate", "single", "single", "generate"]
    assert orders[2] == ["in_turn", "batched", *orders[0][2:]] and orders[3] == orders[1]


def test_adapters_made_for_the_bench_are_the_same_each_time_and_change_the_answer(
    request_: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    again = make_lora_folders(Path(request_["model"]), tmp_path, ADAPTERS, rank=4)
    for first, second in zip(request_["adapters"], again, strict=True):
        weights = "adapter_model.safetensors"
        assert Path(first, weights).read_bytes() == (second / weights).read_bytes()
    session = bench_session(request_, settings)
    names = [column.name for column in session.columns]
    answered(session, request_, names, 12)
    scores = session.scores({name: request_["messages"] for name in names},
                            {name: turn.token_ids for name, turn in session.turns.items()})
    distances = [score.mean_kl_to_base or 0.0 for score in scores.values()]
    assert abs(distances[0]) < 1e-6 < 1e-3 < min(distances[1:]), "an adapter changes nothing"
    assert len(set(distances)) == len(names)
    session.close()


@pytest.mark.slow
def test_all_is_measured_in_processes_of_their_own(tiny_model: Path, tmp_path: Path) -> None:
    found = compare(tmp_path, tiny_model, Length(rounds=1, seconds=60, tokens=QUICK.tokens))
    assert found.batched_over_sequential > 0 and found.single_over_generate > 0
    assert [one.answering_bytes > 0 for one in found.memory] == [True, True]
