"""What the form shows is what is sent, at once, wherever a field lives and however it changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.presets import apply_preset
from studio.recipe import Recipe, load_recipe, save_recipe
from tests.browser.conftest import Program
from tests.browser.pages import open_recipe, show_tab

pytestmark = pytest.mark.browser


def _saved(page: Any, folder: Path) -> Recipe:
    """The recipe that the page sends when Save is pressed."""
    with page.expect_download() as download:
        page.locator("#recipe-save").click()
    file = folder / "saved.yaml"
    download.value.save_as(file)
    return load_recipe(file)


def test_every_kind_of_field_is_sent_as_it_was_left_a_moment_ago(
    idle_studio: Program, open_page: Callable[[str], Any], tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page = open_page(idle_studio.url)
    show_tab(page, "LoRA")
    page.locator("#field-adapter-rank input[type=number]").fill("24")
    show_tab(page, "Train")
    page.locator("#field-training-max-steps input[type=number]").fill("77")
    assert _saved(page, tmp_path).training.max_steps == 77
    page.locator("#field-training-method input[value='dpo']").check()
    rate = page.locator("#field-training-learning-rate textarea, "
                        "#field-training-learning-rate input")
    expect(rate).to_have_value("")  # the method's own, until somebody types one
    rate.fill("0.00025")
    found = _saved(page, tmp_path)
    assert (found.training.method, found.training.learning_rate) == ("dpo", 0.00025)
    assert (found.adapter.rank, found.training.max_steps) == (24, 77)


def test_a_slider_is_sent_though_save_is_pressed_in_the_same_moment(
    idle_studio: Program, open_page: Callable[[str], Any], tmp_path: Path
) -> None:
    page = open_page(idle_studio.url)
    show_tab(page, "LoRA")
    with page.expect_download() as download:
        page.evaluate("""() => {
            const slider = document.querySelector('#field-adapter-rank input[type=range]');
            const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
            set.call(slider, 40);
            slider.dispatchEvent(new Event('input', {bubbles: true}));
            document.querySelector('#recipe-save').click();
        }""")
    file = tmp_path / "saved.yaml"
    download.value.save_as(file)
    assert load_recipe(file).adapter.rank == 40


def test_a_recipe_that_was_opened_is_sent_from_tabs_nobody_has_seen(
    idle_studio: Program, open_page: Callable[[str], Any], tmp_path: Path
) -> None:
    recipe = Recipe().with_values({
        "model.dtype": "float32", "data.max_length": 333, "data.eval_fraction": 0.2,
        "data.loss_on": "last_response", "adapter.use_dora": True, "adapter.rank": 12,
        "adapter.dropout": 0.1, "adapter.targets": ["q_proj", "v_proj"],
        "training.learning_rate": 0.0007, "training.batch_size": 3, "training.epochs": 2.5,
        "training.scheduler": "linear", "speed.fused_layers": False, "monitor.forgetting": False,
        "monitor.sample_prompts": ["One", "Two"]})
    file = tmp_path / "mine.yaml"
    save_recipe(recipe, file)
    page = open_page(idle_studio.url)
    open_recipe(page, file)
    assert _saved(page, tmp_path) == recipe
    page.get_by_role("tab", name="LoRA").click()
    page.locator("#preset-balanced button, button#preset-balanced").click()
    page.get_by_text("are in place").first.wait_for()
    preset = apply_preset("balanced", recipe)
    assert _saved(page, tmp_path) == preset != recipe
