"""The endpoint in a browser: switched on with a key, it answers OpenAI's client until it is off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.browser.chat_runs import home_with_runs
from tests.browser.conftest import Program
from tests.browser.pages import show_tab, wait_for_text

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

ORDER = [{"role": "user", "content": "Two pizzas."}]


def wait_for_key(page: Any) -> None:
    """Until the masked box holds a key."""
    page.wait_for_function("document.querySelector('#serve-key input').value.startsWith('sk-')")


def client_of(page: Any) -> openai.OpenAI:
    """OpenAI's client with the address and the key that the page shows."""
    url = page.locator(".endpoint-url code").inner_text()
    wait_for_key(page)
    key = page.locator("#serve-key input").input_value()
    return openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=120)


def test_the_endpoint_answers_the_openai_client_until_it_is_switched_off(
    tiny_model: Path, shared_studio: Program, open_page: Callable[[str], Any]
) -> None:
    home_with_runs(shared_studio.home, tiny_model, ["served"])
    page = open_page(shared_studio.url)
    show_tab(page, "Chat")
    wait_for_text(page, "#chat-runs", "base.*served")
    show_tab(page, "Serve")
    wait_for_text(page, "#serve-status", "No other program can ask")
    page.locator("#serve-make-key").click()
    wait_for_key(page)
    assert page.locator("#serve-key input").get_attribute("type") == "password"
    page.locator("#serve-start").click()
    wait_for_text(page, "#serve-status", "Nobody has asked yet")

    page.reload()
    show_tab(page, "Chat")
    show_tab(page, "Serve")
    usage = wait_for_text(page, "#serve-usage", "base.*served.*model=\"served\"")
    client = client_of(page)
    assert client.api_key.startswith("sk-") and client.api_key not in usage
    assert [model.id for model in client.models.list()] == ["base", "served"]
    for model in ("base", "served"):
        reply = client.chat.completions.create(model=model, messages=ORDER, max_tokens=4)  # type: ignore[arg-type]
        assert reply.usage and reply.usage.completion_tokens <= 4
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").chat.completions.create(
            model="base", messages=ORDER)  # type: ignore[arg-type]
    wait_for_text(page, "#serve-status", "2 requests answered, 1 refused")

    show_tab(page, "Talk")
    page.locator("#chat-prompt textarea").fill("Two pizzas.")
    page.locator("#chat-send").click()
    page.locator('#chat-board .answer[data-column="served"]:not([data-ending=""])').wait_for()
    show_tab(page, "Serve")
    page.locator("#serve-stop").click()
    wait_for_text(page, "#serve-status", "No other program can ask")
    with pytest.raises(openai.APIConnectionError):
        client.models.list()
