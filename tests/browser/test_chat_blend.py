"""Blending in a browser: two adapters become one, which answers beside the base and is deleted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chat_runs import home_with_runs
from tests.browser.conftest import PATIENCE_MILLISECONDS, Program
from tests.browser.pages import show_tab, wait_for_text

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


def choose_adapters(page: Any, *names: str) -> None:
    """Choose them one after another, as the list shows them."""
    chosen = page.locator("#blend-adapters input")
    for name in names:
        chosen.click()
        page.get_by_role("option", name=re.compile(name)).click()
        chosen.blur()
        wait_for_text(page, "#blend-adapters", name)


def test_two_adapters_are_blended_and_the_blend_answers(
    tiny_model: Path, shared_studio: Program, open_page: Callable[[str], Any]
) -> None:
    home = shared_studio.home
    home_with_runs(home, tiny_model, ["sweet", "sour"])
    page = open_page(shared_studio.url)
    show_tab(page, "Chat")
    wait_for_text(page, "#chat-runs", "base.*sour")
    show_tab(page, "Blend")
    wait_for_text(page, "#blend-plan", "Choose two adapters")
    choose_adapters(page, "sweet", "sour")
    wait_for_text(page, "#blend-plan", "0.5 sweet \\+ 0.5 sour by svd becomes.*rank 4")
    page.get_by_label("Weight of sour").fill("-0.25")
    wait_for_text(page, "#blend-plan", "0.5 sweet - 0.25 sour")

    page.locator("#blend-name textarea, #blend-name input").fill("supper")
    page.locator("#blend-make").click()
    wait_for_text(page, "#blend-list", "supper.*0.5 sweet - 0.25 sour by svd")
    wait_for_text(page, "#blend-task", "supper is made")
    assert (home / "adapters" / "supper" / "adapter_model.safetensors").is_file()

    page.locator("#blend-list [data-what=add]").click()
    wait_for_text(page, "#chat-runs", "base.*sour.*supper")
    show_tab(page, "Talk")
    page.locator("#chat-prompt textarea").fill("Two pizzas.")
    page.locator("#chat-send").click()
    answer = page.locator('#chat-board .answer[data-column="supper (blend)"]')
    expect(answer).to_have_attribute("data-ending", re.compile("."), timeout=PATIENCE_MILLISECONDS)

    show_tab(page, "Blend")
    page.locator("#blend-list [data-what=delete]").click()
    page.locator("#blend-delete-yes").click()
    wait_for_text(page, "#blend-list", "No blend yet")
    assert list((home / "adapters").iterdir()) == []
