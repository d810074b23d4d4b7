"""What the reward functions give for answers, near misses too."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from studio.device import pick_device
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.rewards import Rewarding, Written
from studio.training.rewards.length import length_reward
from studio.training.scorers import ScoringError


@pytest.fixture
def run(settings: Settings) -> Run:
    return create_run(settings, Recipe(), "a")


def rewarding(run: Run, rewards: dict[str, float]) -> Rewarding:
    recipe = Recipe().with_values({"training.method": "grpo", "reinforcement.rewards": rewards})
    return Rewarding(recipe, run, None, pick_device())


def written(text: str, expected: str = "", tokens: int = 4) -> Written:
    return Written("the prompt", "[]", expected, text, tokens, False)


@pytest.mark.parametrize(("name", "expected", "right", "near"), [
    ("exact_match", "Paris", "Paris", "Paris."),
    ("exact_match", "a b", " a\n b ", "ab"),
    ("similarity", "Paris", "Paris", "xyz"),
    ("json_valid", "", '{"a": [1]}', '{"a": [1]'),
    ("json_valid", "", "[]", 'The answer: {"a": 1}'),
    ("json_equal", '{"a": 1, "b": 2}', '{ "b":2,"a":1 }', '{"a": 1, "b": "2"}'),
    ("contains", "Paris", "It is Paris, I think", "It is paris"),
    ("contains=two words", "", "two  words", "twowords"),
    (r"regex=^\d+$", "", "42", "42 pizzas"),
    ("exact_match", "4", "<think>two and two</think>\n4", "<think>4</think>5"),
])
def test_a_right_answer_gets_one_and_a_near_miss_nothing(
    run: Run, name: str, expected: str, right: str, near: str
) -> None:
    given = rewarding(run, {name: 1.0}).of([written(right, expected), written(near, expected)])
    assert [one.total for one in given] == [1.0, 0.0]


def test_a_length_is_rewarded_the_nearer_it_comes() -> None:
    assert [length_reward(tokens, 100) for tokens in (0, 50, 90, 100, 110, 150, 200, 999)] == \
        pytest.approx([0, 0.5, 0.9, 1, 0.9, 0.5, 0, 0])


def test_the_total_is_the_weighted_sum(run: Run) -> None:
    given = rewarding(run, {"json_valid": 2.0, "length=8": -0.5}).of(
        [written("[]", tokens=8), written("no", tokens=4)])
    assert [one.total for one in given] == pytest.approx([1.5, -0.25])
    assert given[1].single == {"json_valid": 0.0, "length=8": 0.5}


def test_ones_own_function_may_give_any_number_and_changes_no_random_state(
    run: Run, tmp_path: Path
) -> None:
    import torch

    file = tmp_path / "mine.py"
    file.write_text("import torch\n\n\ndef score(answer, expected, prompt):\n"
                    "    torch.rand(1)\n    return -2.5 * len(answer) + len(prompt)\n",
                    encoding="utf-8")
    before = torch.get_rng_state()
    given = rewarding(run, {f"python={file}:score": 1.0}).of([written("abcd")])
    assert given[0].total == 0.0
    assert torch.equal(torch.get_rng_state(), before)


def test_an_answer_on_which_a_function_breaks_goes_without_it_and_the_run_is_told_once(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def score(answer, expected, prompt):\n    return 1 / len(answer)\n",
                    encoding="utf-8")
    rewards = rewarding(run, {f"python={file}:score": 1.0, "json_valid": 1.0})
    for _ in range(2):
        given = rewards.of([written("ab"), written("")])
        assert [one.total for one in given] == [0.5, 0.0]
        assert math.isnan(next(iter(given[1].single.values())))
    told = [event["text"] for event in run.events() if event["type"] == "note"]
    assert len(told) == 1
    assert "1 of 2 answers" in told[0] and "line 2" in told[0] and "ZeroDivisionError" in told[0]
    with pytest.raises(ScoringError, match="line 2"):
        rewards.of([written("")])
