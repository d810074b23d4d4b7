"""The desk behind the Dataset tab: first rows at once, the report later, choices that stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.errors import DataError
from studio.hardware.workload import Examples
from studio.recipe import Recipe
from studio.settings import Settings
from studio.ui.data_desk import DataDesk
from studio.ui.data_look import Look

PATIENCE_SECONDS = 120


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> Recipe:
    """Six rows, one of them twice, on the tiny model."""
    rows = [{"prompt": f"Count to {number}", "completion": "one " * number}
            for number in (1, 2, 3, 4, 5, 5)]
    file = write(tmp_path / "mine.jsonl", rows)
    return Recipe().with_values({"model.source": str(tiny_model), "data.source": str(file)})


def whole_look(desk: DataDesk, recipe: Recipe, before: str = "") -> tuple[str, Look]:
    key = desk.follow(recipe, before)
    desk.begin(key)
    look = desk.wait(key, PATIENCE_SECONDS)
    assert look is not None
    return key, look


def test_the_first_rows_are_there_before_anything_was_begun(
    settings: Settings, recipe: Recipe
) -> None:
    desk = DataDesk(settings)
    key = desk.follow(recipe)
    look, record = desk.look(key), desk.record(key, 2)
    assert look is not None and look.page is not None and not look.begun
    assert look.state == "running"
    assert look.page.detection.format == "prompt_completion"
    assert record is not None and record.row["prompt"] == "Count to 2"


def test_the_whole_set_is_reported_and_shown_record_by_record(
    settings: Settings, recipe: Recipe
) -> None:
    desk = DataDesk(settings)
    key, look = whole_look(desk, recipe)
    assert look.state == "done" and look.is_new and look.report is not None
    assert look.report.statistics.examples == 6
    first, last = desk.record(key, -5), desk.record(key, 99)
    assert first is not None and last is not None
    assert (first.number, last.number, last.total) == (1, 6, 6)
    [(_, example)] = last.examples
    learned = "".join(text for text, carries in example.pieces if carries)
    assert learned.startswith("one one one one one")


def test_a_set_that_is_begun_late_does_not_take_the_place_of_the_one_followed_after_it(
    settings: Settings, recipe: Recipe, tmp_path: Path
) -> None:
    desk = DataDesk(settings)
    other = write(tmp_path / "other.jsonl", [{"prompt": "Say hello", "completion": "hello"}] * 3)
    first = desk.follow(recipe)
    second = desk.follow(recipe.with_values({"data.source": str(other)}), first)
    desk.begin(second)
    desk.begin(first)
    look = desk.wait(second, PATIENCE_SECONDS)
    assert look is not None and look.state == "done" and look.report is not None
    assert look.report.statistics.examples == 3

    # Followed once more, it is the newest again.
    key, look = whole_look(desk, recipe, second)
    assert key == first and look.state == "done" and look.report is not None
    assert look.report.statistics.examples == 6


def test_columns_that_only_the_recipe_knows_give_tokens(
    settings: Settings, recipe: Recipe, tmp_path: Path
) -> None:
    file = write(tmp_path / "odd.jsonl", [{"nr": 1, "they wonder": "What?", "we say": "A cat."}])
    mapped = recipe.with_values({"data.source": str(file), "data.columns": {
        "prompt": "{nr}. {they wonder}", "completion": "we say"}})
    desk = DataDesk(settings)
    key, look = whole_look(desk, mapped)
    record = desk.record(key, 1)
    assert look.report is not None and look.report.has_tokens
    assert record is not None and "1. What?" in record.examples[0][1].text


def test_a_choice_stays_with_its_set_and_moves_the_version(
    settings: Settings, recipe: Recipe
) -> None:
    desk = DataDesk(settings)
    key, before = whole_look(desk, recipe)
    desk.choose(key, "exact_duplicates", "drop")
    after = desk.look(key)
    assert after is not None and after.choices == {"exact_duplicates": "drop"}
    assert after.settled != before.settled
    again, look = whole_look(desk, recipe)
    assert again == key and look.choices == {"exact_duplicates": "drop"}


def test_the_report_stays_while_the_same_rows_are_cut_elsewhere(
    settings: Settings, recipe: Recipe
) -> None:
    desk = DataDesk(settings)
    key, look = whole_look(desk, recipe)
    shorter = desk.follow(recipe.with_values({"data.max_length": 16}), key)
    meanwhile = desk.look(shorter)
    assert meanwhile is not None and meanwhile.report is look.report and not meanwhile.is_new
    other = desk.follow(recipe.with_values({"data.source": "starter"}), key)
    elsewhere = desk.look(other)
    assert elsewhere is not None and elsewhere.report is None


def test_a_changed_file_is_read_again(settings: Settings, recipe: Recipe) -> None:
    desk = DataDesk(settings)
    key, _ = whole_look(desk, recipe)
    write(Path(recipe.data.source), [{"prompt": "a", "completion": "b"}])
    again, look = whole_look(desk, recipe, key)
    assert again == key
    assert look.report is not None and look.report.rows == 1


def test_a_source_that_is_not_there_is_told_by_the_look(settings: Settings) -> None:
    desk = DataDesk(settings)
    key = desk.follow(Recipe().with_values({"data.source": "gone.jsonl"}))
    desk.begin(key)
    look = desk.look(key)
    assert look is not None and look.state == "failed" and look.error is not None
    assert "gone.jsonl" in look.error[0]
    with pytest.raises(DataError):
        desk.whole(key)


def test_without_the_model_there_are_rows_and_no_tokens(settings: Settings) -> None:
    desk = DataDesk(settings)
    key, look = whole_look(desk, Recipe())
    record = desk.record(key, 1)
    assert look.report is not None and not look.report.has_tokens
    assert record is not None and record.sample is not None and not record.examples


def test_the_estimate_learns_lengths_and_the_share_that_is_cut(
    settings: Settings, recipe: Recipe
) -> None:
    desk = DataDesk(settings)
    assert desk.sizes(recipe) is None and desk.cut_share(recipe) is None
    _, look = whole_look(desk, recipe)
    assert look.report is not None
    shorter = recipe.with_values({"data.max_length": 8})
    known = desk.sizes(shorter)
    assert isinstance(known, Examples)
    assert known.longest_tokens == look.report.statistics.tokens_max
    assert desk.cut_share(recipe) == 0
    assert desk.cut_share(shorter) == 1
    other = recipe.with_values({"data.template": "alpaca"})
    assert desk.sizes(other) is None


def test_only_the_last_few_sets_are_kept(settings: Settings, recipe: Recipe) -> None:
    desk = DataDesk(settings)
    keys = [desk.follow(recipe.with_values({"data.seed": seed})) for seed in range(8)]
    assert desk.look(keys[0]) is None
    assert desk.look(keys[-1]) is not None
