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
