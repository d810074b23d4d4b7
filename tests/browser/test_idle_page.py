"""A page that only stands there leaves the processor alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Program

pytestmark = pytest.mark.browser

COUNT_REQUESTS = """
window.framesAsked = 0;
const ask = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (callback) => { window.framesAsked += 1; return ask(callback); };
"""
ASKED_IN_A_SECOND = """async () => {
    const before = window.framesAsked;
    await new Promise(done => setTimeout(done, 1000));
    return window.framesAsked - before;
}"""
A_FEW = 10
UNCHANGED = {"__type__": "update"}
"""A look at what goes on asks for some; a clock that nobody sees for one in every frame."""


def test_an_open_page_soon_asks_for_no_more_frames(
    idle_studio: Program, open_page: Callable[[str], Any]
) -> None:
    page = open_page(idle_studio.url)
    page.add_init_script(COUNT_REQUESTS)
    page.reload()
    page.locator("#memory-estimate .memory").wait_for()
    page.wait_for_function("() => window.framesAsked > 0")
    asked = [page.evaluate(ASKED_IN_A_SECOND)]
    while asked[-1] > A_FEW and len(asked) < 30:
        asked.append(page.evaluate(ASKED_IN_A_SECOND))
    assert asked[-1] <= A_FEW, asked


def test_a_look_brings_what_is_new_and_not_what_the_page_has_seen(
    idle_studio: Program, open_page: Callable[[str], Any]
) -> None:
    page = open_page(idle_studio.url)
    page.locator("#memory-estimate .memory").wait_for()
    brought = [_brought_by_a_look(page)]
    while brought[-1] > A_FEW and len(brought) < 10:
        brought.append(_brought_by_a_look(page))
    assert brought[-1] <= A_FEW, brought


def _brought_by_a_look(page: Any) -> int:
    """How many of the next look's outputs are not left as they are."""
    with page.expect_response(lambda one: "/run/predict" in one.url) as look:
        pass
    return sum(one != UNCHANGED for one in look.value.json()["data"])
