"""Presets of every training method: whole, usable, and the last one pressed counts."""

from __future__ import annotations

from typing import get_args

import pytest

from studio.presets import SUMMARIES, apply_preset, preset_names
from studio.recipe import Recipe, is_used
from studio.recipe.training import Method

METHODS = get_args(Method)


def _recipe(method: str, **values: object) -> Recipe:
    return Recipe().with_values({"training.method": method, **values})


def _changed(before: Recipe, after: Recipe) -> set[str]:
    return {f"{part}.{name}" for part, fields in after.model_dump().items()
            for name, value in fields.items() if value != getattr(getattr(before, part), name)}


@pytest.mark.parametrize("method", METHODS)
def test_every_preset_suits_its_method(method: Method) -> None:
    assert preset_names(method) == tuple(SUMMARIES)
    for name in preset_names(method):
        recipe = apply_preset(name, _recipe(method))
        assert recipe.training.method == method
        assert all(is_used(key, recipe) for key in _changed(_recipe(method), recipe))
        assert recipe.training.batch_size >= (2 if method == "kto" else 1)
        if method in ("grpo", "rloo"):
            assert recipe.training.effective_batch_size % recipe.reinforcement.generations == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_preset_leaves_nothing_of_another(method: Method) -> None:
    for last in preset_names(method):
        once = apply_preset(last, _recipe(method))
        for first in preset_names(method):
            assert apply_preset(last, apply_preset(first, _recipe(method))) == once


def test_a_preset_in_few_bits_trains_an_adapter() -> None:
    before = _recipe("sft", **{"adapter.method": "none"})
    assert apply_preset("low memory", before).adapter.method == "lora"
    assert apply_preset("balanced", before).adapter.method == "none"


def test_the_learning_rate_is_the_usual_one_but_where_a_preset_says_why() -> None:
    for method in METHODS:
        recipe = apply_preset("balanced", _recipe(method, **{"training.learning_rate": 0.5}))
        assert recipe.learning_rate == recipe.usual_learning_rate
