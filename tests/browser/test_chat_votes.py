"""The blind test in a browser: two prompts are answered, voted on without names, and trained on."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from studio.settings import Settings
from tests.browser.chat_runs import home_with_runs
from tests.browser.conftest import PATIENCE_MILLISECONDS, Program
from tests.browser.pages import show_tab, wait_for_text

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

NAMES = ("base", "terse", "style")


def ballot(page: Any, number: int, verdict: str = "") -> Any:
    """The ballot of a prompt, once it is shown."""
    found = page.locator(f'#votes-paper .ballot[data-number="{number}"][data-verdict="{verdict}"]')
    found.wait_for()
    return found


def choose_columns(page: Any) -> None:
    """The base and both runs answer; the page has chosen the base and the newest itself."""
    wait_for_text(page, "#chat-runs", "base.*style")
    page.locator("#chat-runs input").click()
    page.get_by_role("option", name=re.compile("terse")).click()
    page.keyboard.press("Escape")
    wait_for_text(page, "#chat-runs", "terse")


def test_two_prompts_are_answered_voted_on_blind_and_trained_on(
    tmp_path: Path, tiny_model: Path, shared_studio: Program, open_page: Callable[[str], Any]
) -> None:
    home = shared_studio.home
    home_with_runs(home, tiny_model, list(NAMES[1:]))
    prompts = tmp_path / "supper.jsonl"
    prompts.write_text('{"prompt": "Two pizzas."}\n{"prompt": "Soup?"}\n', encoding="utf-8")
    page = open_page(shared_studio.url)
    show_tab(page, "Chat")
    choose_columns(page)
    page.locator("#chat-more button").first.click()
    # Random weights hardly ever write the token that ends an answer.
    page.locator("#chat-stop-strings textarea").fill("e")
    show_tab(page, "Blind test")
    page.get_by_label("Take them from a file").check()
    with page.expect_file_chooser() as chooser:
        page.locator("#votes-upload").click()
    chooser.value.set_files(prompts)
    expect(page.locator("#votes-source textarea, #votes-source input")).to_have_value(
        re.compile("supper"), timeout=PATIENCE_MILLISECONDS)
    page.locator("#votes-ask").click()

    # Whatever the part of the page holds that is voted on tells no name; a reload changes nothing.
    ballot(page, 1)
    wait_for_text(page, "#votes-work", "2 of 2 prompts answered")
    page.reload()
    show_tab(page, "Chat")
    show_tab(page, "Blind test")
    blind = ballot(page, 1).evaluate("element => element.outerHTML")
    assert "Two pizzas." in blind and blind.count("data-label") == 3
    assert not any(name in blind for name in (*NAMES, "data-column", str(home)))

    page.keyboard.press("b")
    voted = ballot(page, 1, "B")
    winner = voted.locator('[data-label="B"]').get_attribute("data-column")
    assert sorted(voted.locator("[data-column]").evaluate_all(
        "all => all.map(one => one.dataset.column)")) == sorted(NAMES)
    row = page.locator(f'#votes-rates [data-contestant="{winner}"]')
    expect(row).to_have_attribute("data-wins", "1")
    page.keyboard.press("u")
    ballot(page, 1)
    page.locator("#votes-rates", has_text="No votes yet").wait_for()
    page.keyboard.press("b")
    ballot(page, 1, "B")
    page.keyboard.press("Enter")
    ballot(page, 2).locator('[data-act="tie"]').click()
    ballot(page, 2, "tie")
    expect(page.locator('#votes-rates [data-votes="2"]')).to_be_visible()
    expect(row.locator("td").first).to_have_text("1")

    with page.expect_download() as download:
        page.locator("#votes-save").click()
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["column"] for line in lines if line["is_winner"] == "True"] == [winner]
    assert len(lines) == 6

    page.locator("#votes-train").click()
    wait_for_text(page, "#dataset-found", "Preferences: chosen and rejected")
    wait_for_text(page, "#plan-line", "DPO")
    (written,) = Settings(home=home).uploads.glob("votes*.jsonl")
    pairs = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
    assert len(pairs) == 2 and pairs[0]["chosen"] == pairs[1]["chosen"]
    page.locator(f'#dataset-found .found[data-examples="{len(pairs)}"]').wait_for()
