"""Talking in a browser: turns, another try, an edit, a reload, and what it becomes as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.chat.saved import list_conversations, open_conversation
from studio.settings import Settings
from tests.browser.chat_runs import home_with_runs
from tests.browser.conftest import Program
from tests.browser.pages import ask, fill_number, show_tab, wait_for_text, wait_until_answered

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

TRY_2 = '#chat-board [data-turn="2"] [data-column="pizza"] .tries'


def test_a_conversation_is_held_changed_reopened_and_taught(
    tiny_model: Path, shared_studio: Program, open_page: Callable[[str], Any]
) -> None:
    home = shared_studio.home
    settings = Settings(home=home, offline=True)
    home_with_runs(home, tiny_model, ["pizza"])
    page = open_page(shared_studio.url)
    show_tab(page, "Chat")
    wait_for_text(page, "#chat-runs", "pizza")
    page.locator("#chat-more button").first.click()
    fill_number(page, "chat-temperature", 1.5)
    fill_number(page, "chat-max-new-tokens", 20)

    ask(page, "Two pizzas for Anna", 1)
    ask(page, "And a cola", 2)
    page.locator("#chat-again").click()
    wait_for_text(page, TRY_2, "2/2")
    wait_until_answered(page, 2)
    page.locator(f'{TRY_2} [aria-label^="Earlier"]').click()
    wait_for_text(page, TRY_2, "1/2")
    page.locator("#chat-measure").click()
    measured = page.locator('#chat-board [data-turn="2"] [data-column="pizza"] .heat')
    measured.first.wait_for(state="attached")  # it may be a line break

    page.locator('#chat-board [aria-label="Edit prompt 1"]').click()
    wait_for_text(page, "#chat-editing", "the turn after it are replaced")
    ask(page, "Three pizzas for Berlin", 1)
    wait_for_text(page, "#chat-title", "Three pizzas for Berlin")

    page.reload()
    show_tab(page, "Chat")
    page.locator("#chat-saved > button").click()
    page.locator("#chat-saved-list .saved-open", has_text="Three pizzas").click()
    wait_until_answered(page, 1)
    ask(page, "And a cola", 2)
    (row,) = [row for row in list_conversations(settings)
              if row.title.startswith("Three pizzas for Berlin")]
    kept = open_conversation(settings, row.name).conversation
    assert [one.prompt for one in kept.exchanges] == ["Three pizzas for Berlin", "And a cola"]
    assert kept.columns == ["base", "pizza"]

    # Answers that were cut teach nothing, so the random model's are made whole.
    talks = home / "conversations" / f"{row.name}.json"
    talks.write_text(talks.read_text(encoding="utf-8").replace('"length"', '"end"'), "utf-8")
    page.locator("#chat-saved-list .saved-open").first.click()
    page.locator('#chat-board [data-ending="end"]').nth(3).wait_for()
    page.locator("#chat-teach").click()
    page.locator('#dataset-found .found[data-examples="1"]').wait_for()
    written = page.locator("#field-data-source input").input_value()
    record = json.loads(Path(written).read_text(encoding="utf-8"))
    assert [turn["content"] for turn in record["messages"][::2]] == [
        "Three pizzas for Berlin", "And a cola"]


def test_a_browser_that_closes_in_the_middle_of_an_answer_frees_the_batch(
    idle_studio: Program, open_page: Callable[[str], Any]
) -> None:
    """On the real starter, whose longest answer would take far longer than this test waits."""
    settings, url = Settings(home=idle_studio.home, offline=True), idle_studio.url
    page = open_page(url)
    show_tab(page, "Chat")
    page.locator("#chat-more button").first.click()
    fill_number(page, "chat-temperature", 0)
    fill_number(page, "chat-max-new-tokens", 2048)
    page.locator("#chat-prompt textarea").fill("Write the word pizza again and again.")
    page.locator("#chat-send").click()
    wait_for_text(page, "#chat-board .writing .answer-foot", r"\d tokens")
    page.close()

    other = open_page(url)
    show_tab(other, "Chat")
    other.locator("#chat-saved > button").click()
    wait_for_text(other, "#chat-saved-list", "the word pizza")
    (row,) = list_conversations(settings)
    (exchange,) = open_conversation(settings, row.name).conversation.exchanges
    assert [answer.ending for answer in exchange.answers.values()] == ["stopped"]

    other.locator("#chat-prompt textarea").fill("What is the capital of France?")
    other.locator("#chat-send").click()
    wait_for_text(other, "#chat-board .writing .answer-foot", r"\d tokens")
    other.locator("#chat-board .stop-one").click()
    wait_for_text(other, "#chat-board .answer-foot", "stopped|ended by itself")
