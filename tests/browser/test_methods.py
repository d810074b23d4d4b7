"""Methods and adapters on the page: each brings its fields, and data that does not suit is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import save_recipe
from tests.browser.conftest import Program
from tests.browser.pages import UNWATCHED, open_recipe, show_tab, start_training, wait_for_text
from tests.ui.work import short_recipe

pytestmark = pytest.mark.browser


def choose(page: Any, field: str, value: str) -> None:
    """Press the card of `value`."""
    page.locator(f"#{field} input[value='{value}']").check()


def shown(page: Any, field: str, *, is_shown: bool = True) -> None:
    """Wait until a field is there, or is gone."""
    page.locator(f"#{field}").wait_for(state="visible" if is_shown else "hidden")


def test_a_method_and_an_adapter_bring_their_fields_and_their_learning_rate(
    idle_studio: Program, open_page: Callable[[str], Any]
) -> None:
    page = open_page(idle_studio.url)
    show_tab(page, "Train")
    rate = page.locator("#field-training-learning-rate textarea, "
                        "#field-training-learning-rate input")
    assert rate.input_value() == "0.001"
    shown(page, "field-preference-beta", is_shown=False)

    # Another method: its fields, its usual learning rate, and the card keeps the focus.
    choose(page, "field-training-method", "dpo")
    shown(page, "field-preference-beta")
    page.wait_for_function("() => [...document.querySelectorAll('#field-training-learning-rate "
                           "textarea, #field-training-learning-rate input')].some(box => "
                           "box.value === '' && box.placeholder === 'usual: 5e-06')")
    assert page.evaluate("document.activeElement.value") == "dpo"
    shown(page, "train-reinforcement", is_shown=False)
    wait_for_text(page, "#train-summary", r"Preferences \(DPO\)")
    wait_for_text(page, "#train-summary", r"5e-06 \(usual\)")

    # What a person typed stays, whatever the method.
    rate.fill("0.0003")
    choose(page, "field-training-method", "grpo")
    shown(page, "field-reinforcement-rewards")
    shown(page, "field-preference-beta", is_shown=False)
    wait_for_text(page, "#train-summary", "0.0003")
    assert rate.input_value() == "0.0003"

    # Adapters; a field that comes back still holds its value.
    show_tab(page, "LoRA")
    choose(page, "field-adapter-method", "oft")
    shown(page, "field-adapter-block-size")
    shown(page, "field-adapter-rank", is_shown=False)
    wait_for_text(page, "#lora-count", "Beside LoRA")
    choose(page, "field-adapter-method", "lora")
    shown(page, "field-adapter-rank")
    assert page.locator("#field-adapter-rank input[type=number]").input_value() == "16"


def test_data_of_another_format_is_told_and_one_press_takes_a_method_for_it(
    shared_studio: Program, open_page: Callable[[str], Any], tiny_model: Path, tmp_path: Path,
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps({
        "prompt": f"How many are {number} and one?", "chosen": f"{number + 1}",
        "rejected": "I do not know."}) + "\n" for number in range(12)), encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    save_recipe(short_recipe(tiny_model, tmp_path, **{
        "data.source": str(pairs), **UNWATCHED}), recipe)
    page = open_page(shared_studio.url)
    open_recipe(page, recipe)
    for tab, note in (("Dataset", "#dataset-method-data"), ("Train", "#train-method-data")):
        show_tab(page, tab)
        wait_for_text(page, note, "Preferences: chosen and rejected")
    page.locator("#train-method-data [data-method=dpo]").click()
    page.locator("#field-training-method input[value=dpo]:checked").wait_for()
    page.locator("#train-method-data .note").wait_for(state="detached")
    shown(page, "field-preference-loss")

    # The method trains, and its margin has a plot of its own.
    start_training(page, "pairs")
    page.locator("#train-status [data-run=pairs][data-state=done]").wait_for()
    wait_for_text(page, "#train-status", r"Preferences \(DPO\).*margin")
    shown(page, "train-measured")

    # The same with answers of its own: of the pairs, what is asked is the prompt.
    choose(page, "field-training-method", "grpo")
    wait_for_text(page, "#train-method-data", "prompts")
