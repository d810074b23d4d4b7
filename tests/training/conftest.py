"""A dataset of a few lines, and recipes that train the tiny model on it in a second or two."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import Run

MakeRecipe = Callable[..., Recipe]


def write_orders(path: Path) -> Path:
    """24 questions with answers of different lengths."""
    things = ("pizza", "cola", "soup", "bread", "salad", "tea")
    with path.open("w", encoding="utf-8") as file:
        for number in range(24):
            thing = things[number % 6]
            please = ", please" * (number % 3)
            record = {"messages": [
                {"role": "user", "content": f"{number % 4 + 1} {thing}{please}"},
                {"role": "assistant",
                 "content": json.dumps({"item": thing, "quantity": number % 4 + 1})},
            ]}
            file.write(json.dumps(record) + "\n")
    return path


def tiny_recipe(model: Path, data: Path, **values: Any) -> Recipe:
    """Trains in 32-bit and answers no samples; dotted keys with __ for the dot."""
    return Recipe().with_values({
        "model.source": str(model), "model.dtype": "float32",
        "data.source": str(data), "data.max_length": 128, "data.eval_fraction": 0.0,
        "adapter.rank": 8, "adapter.alpha": 32,
        "training.batch_size": 4, "training.gradient_accumulation": 1,
        "training.learning_rate": 3e-2, "training.max_steps": 8,
        "training.warmup_ratio": 0.0, "training.save_steps": 0,
        # Asking the model costs time; the tests of samples and forgetting switch them on.
        "monitor.sample_records": 0, "monitor.forgetting": False,
        **{key.replace("__", "."): value for key, value in values.items()},
    })


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """The file of `write_orders`."""
    return write_orders(tmp_path / "orders.jsonl")


@pytest.fixture
def make_recipe(tiny_model: Path, orders: Path) -> MakeRecipe:
    """`tiny_recipe` of the tiny model and the orders."""
    return functools.partial(tiny_recipe, tiny_model, orders)


def losses_of(run: Run) -> dict[int, float]:
    """The logged loss of each step."""
    return {point.step: point.loss for point in run.story().points}
