"""Preferences and judged answers of a few words, and recipes that learn them in a second or two."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import MakeRecipe, tiny_recipe

THINGS = ("pizza", "cola", "soup", "bread", "salad", "tea")
PAIRS = [{"prompt": f"{n % 5 + 1} {THINGS[n % 6]}", "chosen": "yes, please" + " now" * (n % 3),
          "rejected": "no" + " thanks" * (n % 2)} for n in range(24)]
JUDGED = [{"prompt": pair["prompt"], "completion": pair[kind], "label": kind == "chosen"}
          for pair in PAIRS for kind in ("chosen", "rejected")]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """24 prompts with a chosen and a rejected answer."""
    return write_lines(tmp_path / "pairs.jsonl", PAIRS)


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """The same answers one by one, judged good or bad."""
    return write_lines(tmp_path / "judged.jsonl", JUDGED)


@pytest.fixture
def pair_recipe(tiny_model: Path, pairs: Path) -> MakeRecipe:
    """`tiny_recipe` of the tiny model and the pairs; a quarter is held out."""
    return functools.partial(tiny_recipe, tiny_model, pairs, data__eval_fraction=0.25,
                             training__learning_rate=1e-2)


def trained(settings: Settings, recipe: Recipe, name: str) -> Run:
    run = create_run(settings, recipe, name)
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    return run


def resumed_to(settings: Settings, recipe: Recipe, stop_at: int) -> Run:
    """A run that was stopped after step `stop_at` and went on to its end."""
    run = create_run(settings, recipe, "parts")
    assert train(recipe, run, lambda: run.story().step >= stop_at, settings=settings) == "stopped"
    assert stop_at <= run.story().step < recipe.training.max_steps
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    return run


def plain_log_likelihood(model: Any, tokenizer: Any, prompt: str, answer: str) -> float:
    """Log probability of an answer and the token that ends it, in plain transformers."""
    import torch

    asked = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False,
                                          add_generation_prompt=True)
    begin = tokenizer(asked, add_special_tokens=False)["input_ids"]
    whole = tokenizer(asked + answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([whole])
    with torch.no_grad():
        scores = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    picked = scores.gather(1, ids[0, 1:, None])[:, 0]
    return float(picked[len(begin) - 1:].sum())


def plain_margin(model: Any, tokenizer: Any, rows: list[dict[str, str]]) -> float:
    """By how much the chosen answers are likelier than the rejected ones, on average."""
    found = [plain_log_likelihood(model, tokenizer, row["prompt"], row["chosen"])
             - plain_log_likelihood(model, tokenizer, row["prompt"], row["rejected"])
             for row in rows]
    return sum(found) / len(found)
