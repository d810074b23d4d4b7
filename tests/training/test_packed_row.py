"""The packed row that the page shows is a row that the trainer gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.data.lab.look import open_whole
from studio.data.prepare import prepare
from studio.data.split import split_of
from studio.models.loading import load_tokenizer
from studio.models.source import find_on_this_pc
from studio.recipe import Recipe
from studio.settings import Settings
from studio.training.packed_row import packed_row
from studio.training.rows import pack


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path) -> Recipe:
    """1,200 texts of 5 to 40 words, more than are packed at a time."""
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(
        json.dumps({"text": f"{number} " + "word " * (5 + number * 7 % 36)}) + "\n"
        for number in range(1200)), encoding="utf-8")
    return Recipe().with_values({"model.source": str(tiny_model), "data.source": str(file),
                                 "data.max_length": 128, "data.packing": True})


@pytest.mark.parametrize("record", [0, 17, 1150])
def test_the_row_is_one_of_the_trainers(settings: Settings, recipe: Recipe, record: int) -> None:
    folder = find_on_this_pc(recipe.model, settings)
    assert folder is not None
    tokenizer = load_tokenizer(folder)
    whole = open_whole(recipe.data, settings, tokenizer)
    train = split_of(whole).train
    shown = packed_row(whole, train, record)
    assert record in [number for number, _ in shown]

    data = prepare(recipe, tokenizer, settings)
    place = {int(number): at for at, number in enumerate(train)}
    ids = [token for number, _ in shown for token in data.train[place[number]]["input_ids"]]
    packed = pack(data.train, recipe.data.max_length)
    assert [row["seq_lengths"] for row in packed if row["input_ids"] == ids] == [
        [tokens for _, tokens in shown]]


def test_a_record_that_is_held_out_is_in_no_row(settings: Settings, recipe: Recipe) -> None:
    folder = find_on_this_pc(recipe.model, settings)
    assert folder is not None
    whole = open_whole(recipe.data, settings, load_tokenizer(folder))
    parts = split_of(whole)
    assert packed_row(whole, parts.train, int(parts.held_out[0])) == []
