"""A form is a recipe: what is shown reads back as the same recipe, and mistakes are named."""

from __future__ import annotations

from typing import Any

import pytest

from studio.errors import RecipeError
from studio.presets import apply_preset, preset_names, starter_recipe
from studio.recipe import Recipe, form_from_recipe, recipe_from_form


@pytest.mark.parametrize("recipe", [
    Recipe(), starter_recipe(), *[apply_preset(name, Recipe()) for name in preset_names()],
    Recipe().with_values({
        "adapter.targets": ["q_proj", "v_proj"], "data.columns": {"prompt": "question"},
        "training.gradient_checkpointing": False, "model.revision": "main",
        "adapter.modules_to_save": ["embed_tokens", "lm_head"],
    }),
    Recipe().with_values({
        "data.columns": {"prompt": "{title}, {body}\n{note}", "completion": "meta.answer"},
        "data.mix": {"more.jsonl": 0.5, "owner/name": 2}, "data.template": "custom",
        "data.custom_template": "{% for turn in messages %}\n{{ turn.content }}{% endfor %}\n",
    }),
])
def test_what_a_form_shows_reads_back_as_the_same_recipe(recipe: Recipe) -> None:
    assert recipe_from_form(form_from_recipe(recipe)) == recipe


@pytest.mark.parametrize("text", ["q_proj, v_proj", " q_proj ,v_proj, ", ["q_proj", "v_proj"]])
def test_names_come_as_text_with_commas_or_as_a_list(text: Any) -> None:
    assert recipe_from_form({"adapter.targets": text}).adapter.targets == ["q_proj", "v_proj"]


def test_one_known_word_among_names_is_that_choice() -> None:
    assert recipe_from_form({"adapter.targets": ["attention"]}).adapter.targets == "attention"


def test_columns_come_as_parts_and_colons() -> None:
    recipe = recipe_from_form({"data.columns": "prompt: question , completion:answer"})
    assert recipe.data.columns == {"prompt": "question", "completion": "answer"}


@pytest.mark.parametrize("key", ["model.revision", "training.epochs", "data.columns"])
@pytest.mark.parametrize("nothing", ["", "  ", None])
def test_an_empty_field_is_the_default(key: str, nothing: str | None) -> None:
    assert recipe_from_form({key: nothing}) == Recipe()


def test_a_missing_colon_is_named() -> None:
    with pytest.raises(RecipeError, match=r"data\.columns has 'question'"):
        recipe_from_form({"data.columns": "question"})


def test_columns_that_begin_like_json_and_are_none_are_named() -> None:
    with pytest.raises(RecipeError, match=r"data\.columns begins like JSON"):
        recipe_from_form({"data.columns": '{"prompt": '})


def test_every_mistake_of_a_form_is_in_one_report() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from_form({"adapter.rank": 0, "adapter.rnk": 8, "training.epochs": "many"})
    for part in ("adapter.rank is 0", "the nearest is adapter.rank", "training.epochs is 'many'"):
        assert part in caught.value.message


def test_a_held_out_column_without_a_name_is_told_in_its_own_words() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from_form({"data.held_out": "column"})
    assert caught.value.message == (
        "The recipe has one mistake: held_out is column, but eval_column names none: name the "
        "column, or set held_out to fraction.")
