"""The Hardware tab in a browser: the breakdown moves with a slider, and its buttons act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Program

pytestmark = pytest.mark.browser

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def needed(page: Any) -> int:
    """What the estimate on the page says, in bytes."""
    return int(page.locator("#memory-estimate .memory").get_attribute("data-total-bytes"))


def changed_from(page: Any, before: int) -> int:
    """Waits until the estimate is another one."""
    page.wait_for_function(
        "(before) => document.querySelector('#memory-estimate .memory')"
        ".dataset.totalBytes != before", arg=str(before))
    return needed(page)


def test_planning_for_a_card_making_it_fit_and_filling_in_what_fits(
    idle_studio: Program, open_page: Callable[[str], Any]
) -> None:
    page = open_page(idle_studio.url)
    page.locator("#memory-estimate .memory").wait_for()
    opened = needed(page)
    # The data is looked at meanwhile, and its longest example makes the estimate smaller.

    # A slider moves the breakdown.
    slider = page.locator("#mirror-training-batch-size input[type=range]")
    slider.focus()
    for _ in range(28):
        slider.press("ArrowRight")
    page.wait_for_function(
        "(before) => document.querySelector('#memory-estimate .memory')"
        ".dataset.totalBytes > before", arg=opened)

    # A chosen card is what the estimate and the table are for.
    page.locator("#memory-place input").click()
    page.locator("#memory-place input").fill("RTX 4060 8")
    page.keyboard.press("Enter")
    page.locator("#memory-estimate", has_text="on RTX 4060 8 GB free").wait_for()
    page.locator("#sizes-table .size-place", has_text="RTX 4060 8 GB").wait_for()

    # A cell fills the form in, and the estimate is the cell's own.
    cell = page.locator(f'#sizes-table [data-source="{LLAMA}"][data-method="LoRA"]')
    shown = cell.inner_text()
    cell.click()
    page.locator("#memory-estimate .memory-total", has_text=shown).wait_for()
    assert "QLoRA" not in page.locator("#plan-line").inner_text()

    # What does not fit is made to fit: shown first, then set by one press.
    page.locator("#fit-propose", has_text="Make it fit").click()
    page.locator("#fit-proposal [data-key='model.quantization']").wait_for()
    unfit = needed(page)
    page.locator("#fit-apply").click()
    assert changed_from(page, unfit) < 7_400_000_000
    page.locator("#fit-propose", has_text="It fits").wait_for()
    assert page.locator("#field-model-quantization input[value='4bit']").is_checked()
    page.locator("#fit-proposal .fit").wait_for(state="detached")
