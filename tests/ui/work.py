"""What the tests of the Train, Chat and Export tabs share: stories, and a recipe of seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studio.recipe import Recipe
from studio.story import Point, Story


def story(steps: int = 0, **values: Any) -> Story:
    """A story with a falling loss of `steps` points."""
    points = tuple(
        Point(step, step / 100, 3 / step, 1e-3 * step / max(steps, 1), 1.0, 900.0)
        for step in range(1, steps + 1)
    )
    usual: dict[str, Any] = {"name": "orders", "state": "training", "total_steps": 2 * steps,
                             "step": steps, "points": points, "version": 2 * steps}
    return Story(**{**usual, **values})


def short_recipe(model: Path, folder: Path, **values: Any) -> Recipe:
    """Trains the tiny model for a few steps on twelve lines."""
    data = folder / "questions.jsonl"
    lines = [{"messages": [{"role": "user", "content": f"{number} pizzas"},
                           {"role": "assistant", "content": f'{{"quantity": {number}}}'}]}
             for number in range(12)]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return Recipe().with_values({
        "model.source": str(model), "model.dtype": "float32", "data.source": str(data),
        "data.max_length": 64, "data.eval_fraction": 0.0, "adapter.rank": 4,
        "training.batch_size": 4, "training.gradient_accumulation": 1, "training.max_steps": 3,
        "training.save_steps": 0, **values,
    })
