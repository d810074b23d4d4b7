"""The Hardware tab acts: planning for a card, making a recipe fit, and filling in what fits."""

from __future__ import annotations

import re
from typing import Any

import pytest

from studio.errors import StudioError
from studio.hardware.cards import find_card, place_on
from studio.hardware.fit import make_fit
from studio.hardware.what_fits import METHODS, what_fits
from studio.models.shape import ModelShape, known_shape
from studio.recipe import Recipe, form_from_recipe
from studio.settings import Settings
from studio.ui.app import build_app
from studio.ui.charts_memory import memory_card
from studio.ui.panels import memory_plan, memory_plan_view, sizes
from studio.ui.panels.sizes_view import table_view
from studio.ui.reading import Reading, read
from studio.ui.studio import Studio

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
CARD = "RTX 3060 12 GB"


@pytest.fixture
def studio(settings: Settings) -> Studio:
    """A studio on an empty home."""
    return Studio(settings)


def form(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return form_from_recipe(Recipe().with_values({"model.source": LLAMA, **(changes or {})}))


def planned(studio: Studio, changes: dict[str, Any] | None = None) -> Reading:
    found = read(studio, form(changes), CARD)
    assert found.problem is None
    return found


def llama() -> ModelShape:
    found = known_shape(LLAMA)
    assert found is not None
    return found


def test_the_bar_follows_the_chosen_card_and_the_plan_stays_with_this_pc(studio: Studio) -> None:
    there, here = planned(studio), read(studio, form())
    assert there.place is not None
    assert there.place.name == CARD
    assert there.planned is not None
    assert f'data-total-bytes="{there.planned.total_bytes}"' in memory_card(there)
    assert f"on {CARD} free" in memory_card(there)
    assert there.device == here.device
    assert here.place is not None
    assert here.place.is_this_pc
    assert here.planned == here.estimate
    assert CARD not in memory_card(here)


def test_a_card_that_is_not_in_the_list_is_a_problem_and_not_an_error(studio: Studio) -> None:
    found = read(studio, form(), "RTX 9999")
    assert isinstance(found.problem, StudioError)
    assert "RTX 9999" in memory_card(found)


def test_what_is_proposed_fits_and_is_what_the_button_sets(studio: Studio) -> None:
    shown, button, values = memory_plan.proposal_for(studio, planned(studio))
    assert button.visible
    taken = read(studio, form(values), CARD)
    assert taken.planned is not None
    assert taken.place is not None
    assert taken.planned.high_bytes <= taken.place.free_bytes
    assert re.findall(r'<tr data-key="([^"]+)"', shown)[0] in values
    for word in ("Before", "After", "QLoRA", "Quantization"):
        assert word in shown


def test_what_fits_is_not_offered_to_be_changed(studio: Studio) -> None:
    shown, button, values = memory_plan.proposal_for(
        studio, planned(studio, {"model.source": "starter"}))
    assert "fits as it is" in shown
    assert not button.visible
    assert values == {}


def test_where_nothing_fits_the_page_says_what_would(studio: Studio) -> None:
    shown, button, values = memory_plan.proposal_for(
        studio, planned(studio, {"adapter.method": "none"}))
    assert not button.visible
    assert values == {}
    for words in ("No settings make this fit", "is the next thing", "smallest card",
                  "largest usual model"):
        assert words in shown


def test_a_proposal_is_two_bars_on_one_scale_and_a_row_for_each_change() -> None:
    place = place_on(find_card(CARD))
    found = make_fit(Recipe().with_values({"training.gradient_checkpointing": False}), llama(),
                     place.device, place.free_bytes, has_bitsandbytes=True)
    shown = memory_plan_view.proposal_view(found)
    assert len(re.findall(r"<tr data-key", shown)) == len(found.changes) >= 2
    before, after = (
        sum(float(width) for width in re.findall(r"width:([\d.]+)%", bar))
        for bar in shown.split("<table")[0].split('aria-label="Memory needed, by part"')[1:])
    assert after / before == pytest.approx(found.after.total_bytes / found.before.total_bytes,
                                           rel=0.01)


def test_every_cell_of_the_table_is_a_button_with_its_level() -> None:
    place = place_on(find_card(CARD))
    table = what_fits(place)
    shown = table_view(table, place)
    assert shown.count("<button") == len(table.rows) * len(METHODS)
    assert CARD in shown
    for row in table.rows:
        for cell in row:
            assert (f'data-source="{cell.model.source}" data-method="{cell.method}" '
                    f'data-level="{cell.level}"') in shown


def test_a_cell_fills_in_the_form_and_leaves_the_data_alone(studio: Studio) -> None:
    before = form({"data.source": "mine.jsonl", "training.epochs": 7, "model.revision": "old"})
    recipe = sizes.filled_recipe(studio, CARD, "Qwen/Qwen3-0.6B", "QLoRA", before)
    assert recipe.model.source == "Qwen/Qwen3-0.6B"
    assert recipe.model.revision is None
    assert (recipe.adapter.method, recipe.model.quantization) == ("lora", "4bit")
    assert (recipe.data.source, recipe.training.epochs) == ("mine.jsonl", 7)
    cell = what_fits(place_on(find_card(CARD))).cell("Qwen/Qwen3-0.6B", "QLoRA")
    assert cell is not None
    filled = read(studio, form_from_recipe(recipe), CARD)
    assert filled.planned is not None
    assert filled.planned.total_bytes == cell.total_bytes


def test_a_cell_that_is_none_changes_nothing(studio: Studio) -> None:
    assert sizes.filled_recipe(studio, CARD, "no/model", "QLoRA", form()) == (
        Recipe().with_values({"model.source": LLAMA}))


def test_the_choice_of_a_card_is_no_field_of_the_recipe(studio: Studio) -> None:
    demo = build_app(studio)
    names = {component["props"].get("elem_id") for component in demo.config["components"]}
    assert {"memory-place", "fit-propose", "fit-apply", "sizes-table"} <= names
    assert "place" not in form()
