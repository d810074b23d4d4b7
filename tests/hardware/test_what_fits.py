"""What fits here: the table agrees with the estimate, and grows with the memory."""

from __future__ import annotations

import json

import pytest

from studio.hardware.cards import find_card, find_place, place_on
from studio.hardware.memory import COMFORTABLE_SHARE, estimate
from studio.hardware.what_fits import METHODS, SizeTable, what_fits
from studio.models.catalogue import usual_models
from studio.models.shape import known_shape
from studio.recipe import Recipe
from studio.settings import Settings

RANK = {"no": 0, "tight": 1, "comfortable": 2}
NAMES = ("GTX 1660 6 GB", "RTX 4090 24 GB", "H100 80 GB")


def table(name: str) -> SizeTable:
    return what_fits(place_on(find_card(name)))


def test_there_is_a_row_for_every_usual_model_and_a_cell_for_every_method() -> None:
    rows = table("RTX 4090 24 GB").rows
    assert [row[0].model for row in rows] == list(usual_models())
    assert all([cell.method for cell in row] == list(METHODS) for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_a_form_filled_in_from_a_cell_needs_what_the_cell_says(name: str) -> None:
    found = table(name)
    for row in found.rows:
        for cell in row:
            shape = known_shape(cell.model.source)
            assert shape is not None
            # Whatever stood in the form before: the cell sets all that decides the memory.
            form = Recipe().with_values({"data.max_length": 4096, "adapter.rank": 200,
                                         "training.batch_size": 32, "data.packing": True})
            need = estimate(form.with_values(cell.values), shape, find_card(name).device,
                            free_bytes=found.free_bytes)
            assert need.total_bytes == cell.total_bytes
            comfortable = need.high_bytes <= found.free_bytes * COMFORTABLE_SHARE
            assert (cell.level == "comfortable") == comfortable
            assert (cell.level == "no") == (need.total_bytes > found.free_bytes)


def test_every_column_stays_what_it_says() -> None:
    for name in NAMES:
        for row in table(name).rows:
            recipes = [Recipe().with_values(cell.values) for cell in row]
            assert [(recipe.adapter.method, recipe.model.quantization) for recipe in recipes] == [
                ("none", "none"), ("lora", "none"), ("lora", "4bit")]
            assert {recipe.data.max_length for recipe in recipes} == {1024}
            assert {recipe.training.effective_batch_size for recipe in recipes} == {16}


def test_more_memory_never_makes_a_cell_worse() -> None:
    small, middle, large = (table(name) for name in NAMES)
    for worse, better in ((small, middle), (middle, large)):
        for row in worse.rows:
            for cell in row:
                other = better.cell(cell.model.source, cell.method)
                assert other is not None
                assert RANK[cell.level] <= RANK[other.level]


def test_the_table_says_what_is_known_of_well_known_cards() -> None:
    middle = table("RTX 4090 24 GB")

    def level(source: str, method: str) -> str:
        cell = middle.cell(source, method)
        assert cell is not None
        return cell.level

    assert level("meta-llama/Llama-3.1-8B-Instruct", "QLoRA") == "comfortable"
    assert level("meta-llama/Llama-3.1-8B-Instruct", "LoRA") != "no"
    assert level("meta-llama/Llama-3.1-8B-Instruct", "Full") == "no"
    assert level("meta-llama/Llama-3.1-70B-Instruct", "QLoRA") == "no"
    assert level("starter", "Full") == "comfortable"


def test_the_same_table_is_worked_out_once() -> None:
    assert table("H100 80 GB") is table("H100 80 GB")
    assert table("H100 80 GB").cell("starter", "nothing of the kind") is None


def test_this_pc_has_a_table_too(settings: Settings) -> None:
    place = find_place(settings)
    found = what_fits(place)
    assert found.free_bytes <= place.free_bytes
    assert len(found.rows) == len(usual_models())


def test_it_is_plain_data_for_a_program() -> None:
    found = json.loads(json.dumps(table("H100 80 GB").to_dict()))
    first = found["rows"][0]
    assert first["model"] == "starter"
    assert {cell["level"] for row in found["rows"]
            for cell in (row["full"], row["lora"], row["qlora"])} <= set(RANK)
