"""Data that does not suit the method is told at once, with the methods that it suits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.recipe import Recipe
from studio.settings import Settings
from studio.ui.panels.method_data import reading_view, view
from studio.ui.reading import Reading
from studio.ui.studio import Studio


def test_preferences_are_offered_the_methods_that_learn_from_them() -> None:
    shown = view("sft", "preference")
    assert "Preferences: chosen and rejected" in shown and "answers to imitate" in shown
    for method in ("dpo", "orpo", "reward"):
        assert f'data-method="{method}"' in shown
    assert 'data-method="sft"' not in shown


@pytest.mark.parametrize(("method", "data_format"), [
    ("sft", "messages"), ("dpo", "preference"), ("pretrain", "text"), ("kto", "kto"),
    ("grpo", "prompts"), ("rloo", "messages"), ("sft", None), ("dpo", None),
])
def test_data_that_suits_or_is_not_known_needs_no_word(
    method: str, data_format: str | None
) -> None:
    assert view(method, data_format) == ""


def test_what_the_first_rows_look_like_decides(settings: Settings, tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps({
        "prompt": f"{n}?", "chosen": "yes, gladly", "rejected": "no"}) + "\n" for n in range(5)),
        encoding="utf-8")
    studio = Studio(settings)
    recipe = Recipe().with_values({"data.source": str(data)})
    assert reading_view(studio, Reading(recipe=recipe)) == ""
    studio.data.follow(recipe)
    assert 'data-method="dpo"' in reading_view(studio, Reading(recipe=recipe))
    right = recipe.with_values({"training.method": "dpo"})
    assert reading_view(studio, Reading(recipe=right)) == ""
    studio.close()
