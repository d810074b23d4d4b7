"""Who answers, in a browser: columns are chosen, and a slider moves an adapter without loading."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chat_runs import home_with_runs
from tests.browser.conftest import PATIENCE_MILLISECONDS, Program
from tests.browser.pages import ask, fill_number, show_tab, wait_for_text

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


def anew(page: Any, prompt: str) -> dict[str, str]:
    """The answers to a prompt at the beginning of a conversation."""
    page.locator("#chat-new").click()
    expect(page.locator("#chat-board .exchange")).to_have_count(0, timeout=PATIENCE_MILLISECONDS)
    return ask(page, prompt)


def test_an_adapter_at_strength_0_answers_as_the_base_and_at_1_as_trained(
    tiny_model: Path, shared_studio: Program, open_page: Callable[[str], Any]
) -> None:
    home_with_runs(shared_studio.home, tiny_model, ["first", "second"], {"second": [5]})
    page = open_page(shared_studio.url)
    show_tab(page, "Chat")
    # The page has chosen the base and the newest run itself.
    wait_for_text(page, "#chat-runs", "base.*second")
    page.locator("#chat-runs input").click()
    page.get_by_role("option", name="second, step 5").click()
    page.keyboard.press("Escape")
    wait_for_text(page, "#chat-status", "All 3 answer at the same time, in one batch")
    wait_for_text(page, "#chat-room", "takes about .* of memory")
    page.locator("#chat-more button").first.click()
    page.locator("#chat-preset").get_by_label("precise").check()
    expect(page.locator("#chat-temperature input[type=number]")).to_have_value("0")
    fill_number(page, "chat-max-new-tokens", 16)

    trained = ask(page, "Two pizzas for Anna")
    assert list(trained) == ["base", "second", "second, step 5"]
    assert len(set(trained.values())) == 3

    slider = page.locator('#chat-strengths [data-column="second"] input')
    slider.fill("0")
    off = anew(page, "Two pizzas for Anna")
    assert off == {"base": trained["base"], "second × 0": trained["base"],
                   "second, step 5": trained["second, step 5"]}
    slider.fill("2")
    more = anew(page, "Two pizzas for Anna")
    assert more["second × 2"] not in trained.values()
    slider.dblclick()
    assert anew(page, "Two pizzas for Anna") == trained

    fill_number(page, "chat-temperature", 0.3)
    expect(page.locator("#chat-preset").get_by_label("own")).to_be_checked()
    wait_for_text(page, "#chat-preset", re.escape("As set below"))

    # What was chosen stays in the browser.
    slider.fill("0.5")
    page.reload()
    show_tab(page, "Chat")
    wait_for_text(page, "#chat-runs", "base.*second.*second, step 5")
    expect(slider).to_have_value("0.5", timeout=PATIENCE_MILLISECONDS)
    page.locator("#chat-more button").first.click()
    expect(page.locator("#chat-temperature input[type=number]")).to_have_value(
        "0.3", timeout=PATIENCE_MILLISECONDS)
    expect(page.locator("#chat-max-new-tokens input[type=number]")).to_have_value("16")
    expect(page.locator("#chat-preset").get_by_label("own")).to_be_checked()
    assert "second × 0.5" in ask(page, "Two pizzas for Anna")
