"""Several values for some fields: what is written, the combinations, and every mistake at once."""

from __future__ import annotations

import pytest

from studio.errors import RecipeError
from studio.recipe import Recipe
from studio.recipe.grid import grid, parse_grid


def test_lines_and_the_command_lines_spelling_are_read_alike() -> None:
    wanted = {"adapter.rank": ["8", "16"], "training.learning_rate": ["1e-4", "2e-4"]}
    assert parse_grid("adapter.rank: 8, 16\n\n  training.learning_rate: 1e-4, 2e-4, 1e-4") == wanted
    assert parse_grid(["adapter.rank=8,16", "training.learning_rate=1e-4,2e-4"]) == wanted
    assert parse_grid("rank: 8, 16\nlearning_rate: 1e-4,2e-4") == wanted


def test_every_combination_is_a_recipe_with_a_name() -> None:
    runs = grid(Recipe(), parse_grid("rank: 8, 16\nlearning_rate: 0.0001, 2e-4"))
    assert [name for name, _ in runs] == [
        "rank-8-lr-0.0001", "rank-8-lr-2e-4", "rank-16-lr-0.0001", "rank-16-lr-2e-4"]
    assert [(one.adapter.rank, one.training.learning_rate) for _, one in runs] == [
        (8, 1e-4), (8, 2e-4), (16, 1e-4), (16, 2e-4)]


def test_values_are_read_as_the_form_reads_them() -> None:
    runs = grid(Recipe(), parse_grid([
        "training.gradient_checkpointing: auto, on, off", "adapter.targets: all-linear; q_proj, "
        "v_proj", "model.quantization: none, 4bit"]))
    assert len(runs) == 12
    assert {one.training.gradient_checkpointing for _, one in runs} == {"auto", True, False}
    assert [one.adapter.targets for _, one in runs[::2]][:2] == ["all-linear", ["q_proj", "v_proj"]]


def test_a_path_is_named_by_its_last_part_and_no_two_names_are_the_same() -> None:
    runs = grid(Recipe(), parse_grid("data.source: /a/b/one.jsonl, /a/b/two.jsonl"))
    assert [name for name, _ in runs] == ["source-one.jsonl", "source-two.jsonl"]
    alike = grid(Recipe(), parse_grid("model.source: /a/m, /b/m, /c/n"))
    assert [name for name, _ in alike] == ["source-m-1", "source-m-2", "source-n"]
    long = grid(Recipe(), {"data.source": [f"/a/{'x' * 60}{n}.jsonl" for n in (1, 2)],
                           "model.source": ["/b/m", "/c/m"]})
    names = [name for name, _ in long]
    assert len(set(names)) == 4 and all(len(name) < 60 for name in names)


def test_all_mistakes_of_the_lines_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_grid("adapter.rankk: 8, 16\nrank\nseed: 1, 2\nadapter.alpha:\nadapter.rank: 8\n"
                   "rank: 4")
    text = caught.value.message
    assert "5 mistakes" in text
    assert "adapter.rankk is not a known field, the nearest is adapter.rank" in text
    assert "'rank' has no ':'" in text and "data.seed or training.seed" in text
    assert "adapter.alpha has no values" in text and "adapter.rank is given twice" in text


def test_all_wrong_values_are_told_once_each() -> None:
    with pytest.raises(RecipeError) as caught:
        grid(Recipe(), parse_grid("rank: 8, none, -4\nlearning_rate: 1e-4, fast"))
    text = caught.value.message
    assert "3 mistakes" in text
    assert text.count("'none'") == text.count("'-4'") == text.count("'fast'") == 1


def test_more_runs_than_anybody_means_are_refused() -> None:
    with pytest.raises(RecipeError, match="make 225 runs, at most 200"):
        grid(Recipe(), {"adapter.rank": [str(n) for n in range(1, 16)],
                        "training.seed": [str(n) for n in range(15)]})
    with pytest.raises(RecipeError, match="No field"):
        grid(Recipe(), {})
