"""A recipe says what it means, and says everything that is wrong with it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import RecipeError
from studio.presets import apply_preset, preset_names, starter_recipe
from studio.recipe import Recipe, form_fields, load_recipe, recipe_to_yaml, save_recipe
from studio.recipe.yaml_io import parse_yaml


def mistake(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_yaml(text)
    return str(caught.value)


def test_yaml_round_trip_keeps_every_field(tmp_path: Path) -> None:
    recipe = starter_recipe().with_values(
        {"adapter.targets": ["q_proj", "v_proj"], "data.columns": {"prompt": "frage"},
         "training.gradient_checkpointing": True, "training.learning_rate": 3.3e-5}
    )
    save_recipe(recipe, tmp_path / "r.yaml")
    assert load_recipe(tmp_path / "r.yaml") == recipe
    assert list(tmp_path.iterdir()) == [tmp_path / "r.yaml"]


def test_a_recipe_may_leave_out_whatever_has_a_default() -> None:
    assert parse_yaml("") == Recipe()
    assert parse_yaml("training:\n  max_steps: 3\n").training.max_steps == 3
    assert parse_yaml("adapter:\n") == Recipe()


def test_numbers_written_the_way_people_write_them() -> None:
    recipe = parse_yaml("training: {learning_rate: 1e-3, max_steps: -1}\nadapter: {alpha: 16.5}")
    assert recipe.training.learning_rate == 1e-3
    assert recipe.training.max_steps == 0
    assert recipe.adapter.alpha == 16.5


def test_all_mistakes_come_in_one_report() -> None:
    text = mistake("adapter: {rank: 0, rnk: 4, learning_rate: 3}\nmodl: 3")
    assert "4 mistakes" in text
    assert "adapter.rank is 0, allowed is a whole number, at least 1, at most 1024" in text
    assert "adapter.rnk is not a known key, the nearest is adapter.rank" in text
    assert "adapter.learning_rate is not a known key, it belongs to training.learning_rate" in text
    assert "modl is not a known key, the nearest is model" in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("model: {quantization: 4bit}\nadapter: {method: none}", "adapter.method none"),
        ("training: {eval_steps: 5}\ndata: {eval_fraction: 0}", "data.eval_fraction 0"),
        ("adapter: {targets: []}", "name at least one module"),
        ("adapter: {rank: 8.5}", "adapter.rank is 8.5"),
        ("model: {quantization: 3bit}", "allowed is none or 8bit or 4bit"),
        ("- 3", "but this is a list"),
        ("adapter:\n  rank: 3\n  rank: 4", "line 3, column 3: the key rank is given twice"),
        ("adapter: {rank: [", "not valid YAML at line 1"),
        ("training: {learning_rate: .nan}", "training.learning_rate is nan"),
    ],
)
def test_impossible_recipes_say_what_is_wrong(text: str, part: str) -> None:
    assert part in mistake(text)


def test_a_missing_recipe_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="There is no recipe file"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="is a folder"):
        load_recipe(tmp_path)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_changes_only_what_it_names(name: str) -> None:
    before = starter_recipe()
    after = apply_preset(name, before)
    assert after != before
    assert (after.model.source, after.data.source) == (before.model.source, before.data.source)
    assert parse_yaml(recipe_to_yaml(after)) == after


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="low memory, balanced, best quality"):
        apply_preset("fastest", Recipe())


def test_every_field_has_a_label_a_help_and_a_form_kind() -> None:
    fields = form_fields()
    assert len({field.key for field in fields}) == len(fields) > 30
    assert all(field.label and field.help and field.kind for field in fields)
    sliders = [field for field in fields if field.step is not None]
    assert all(field.minimum is not None and field.maximum is not None for field in sliders)


def test_form_defaults_are_the_recipe_defaults() -> None:
    defaults = {field.key: field.default for field in form_fields()}
    assert Recipe().with_values(defaults) == Recipe()
