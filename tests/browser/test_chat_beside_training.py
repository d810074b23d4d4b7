"""Training and chat at the same time, in a browser: it is said that both fit, and both are at work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from studio.recipe import save_recipe
from studio.runs import open_run
from studio.settings import Settings
from tests.browser.chat_runs import home_with_runs
from tests.browser.conftest import PATIENCE_MILLISECONDS, Program
from tests.browser.pages import UNWATCHED, ask, open_recipe, show_tab, wait_for_text
from tests.ui.work import short_recipe

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_the_base_and_an_adapter_answer_while_a_run_is_training(
    tmp_path: Path, tiny_model: Path, studio_at: Callable[[Path], Program],
    open_page: Callable[[str], Any]
) -> None:
    home, recipe = tmp_path / "home", tmp_path / "recipe.yaml"
    home_with_runs(home, tiny_model, ["first"])
    save_recipe(short_recipe(tiny_model, tmp_path, **{
        "training.max_steps": 1_000_000, **UNWATCHED}), recipe)
    page = open_page(studio_at(home).url)
    open_recipe(page, recipe)
    show_tab(page, "Train")
    page.locator("#train-name input, #train-name textarea").fill("long")
    page.locator("#train-start").click()
    page.locator("#train-status [data-run=long][data-state=training]").wait_for()

    show_tab(page, "Chat")
    wait_for_text(page, "#chat-sharing", "training run long is at work, and this chat fits beside "
                                         "it.*the chat takes up to .* are there for both")
    answers = ask(page, "Two pizzas for Anna")
    assert list(answers) == ["base", "first"] and len(set(answers.values())) == 2
    run = open_run(Settings(home=home), "long")
    step = run.story().step
    ask(page, "Three", turns=2)
    assert run.story().state == "training" and run.story().step > step

    show_tab(page, "Train")
    page.locator("#train-cancel").click()
    page.locator("#train-cancel-now").click()
    wait_for_text(page, "#train-status", "Cancelled")
    show_tab(page, "Chat")
    expect(page.locator("#chat-sharing .note")).to_have_count(0, timeout=PATIENCE_MILLISECONDS)
