"""Conversations of several turns, whatever of them is learned, in rows of every kind.

Every step takes all of the data, so that padded, joined and packed rows hold the same examples and
only the order of sums is another.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.settings import Settings
from tests.training.conftest import MakeRecipe
from tests.training.speed.learned import PLAIN, learned

_THINGS = ("pizza", "cola", "soup", "bread", "salad", "tea")
_CONVERSATIONS = 16
_ROWS: dict[str, dict[str, Any]] = {
    "No padding": {},
    "packed into full rows": {"data.packing": True, "training.batch_size": 2,
                              "training.gradient_accumulation": _CONVERSATIONS // 2},
}


def _turns(number: int, question: int) -> list[dict[str, str]]:
    thing = _THINGS[(number + question) % len(_THINGS)]
    answer = json.dumps({"item": thing, "quantity": number % 4 + 1})
    return [{"role": "user", "content": thing + ", please" * (number % 3)},
            {"role": "assistant", "content": answer}]


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    """One to three questions and answers each; some begin with a system message, and the longest
    are cut within their last answer."""
    path = tmp_path / "conversations.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(_CONVERSATIONS):
            system = [{"role": "system", "content": "Take orders."}] * (number % 2)
            turns = [turn for question in range(1 + number % 3)
                     for turn in _turns(number, question)]
            file.write(json.dumps({"messages": [*system, *turns]}) + "\n")
    return path


@pytest.mark.parametrize("loss_on", ["responses", "last_response", "all"])
def test_all_rows_teach_what_padded_ones_teach(
    settings: Settings, make_recipe: MakeRecipe, conversations: Path, loss_on: str
) -> None:
    recipe = make_recipe(data__source=str(conversations), data__loss_on=loss_on,
                         data__max_length=100, training__batch_size=_CONVERSATIONS,
                         training__max_steps=4, training__learning_rate=3e-3,
                         training__logging_steps=1)
    plain = learned(settings, recipe.with_values(PLAIN))
    assert plain.losses[-1] < plain.losses[0] - 0.1
    for words, changes in _ROWS.items():
        fast = learned(settings, recipe.with_values(changes))
        assert fast.told(words) and fast.told("Fused layers")
        assert fast.losses == pytest.approx(plain.losses, rel=2e-6)
        assert fast.apart(plain) < 1e-3
