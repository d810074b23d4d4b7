"""The Dataset tab in a browser: an odd file becomes a set that one can train on, by clicking."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import save_recipe
from tests.browser.conftest import Program
from tests.browser.pages import (
    UNWATCHED,
    open_recipe,
    run_events,
    set_number,
    show_tab,
    start_training,
    wait_for_text,
)
from tests.ui.work import short_recipe

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

ROWS, REPEATED = 40, 5


@pytest.fixture
def odd_csv(tmp_path: Path) -> Path:
    """Columns that nobody knows, and the first rows once more at the end."""
    file = tmp_path / "stall.csv"
    rows = [(number, "fruit", f"What do {number} apples cost?", f"They cost {number} euros.")
            for number in range(2, 2 + ROWS)]
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["nr", "field", "they wonder", "we say"])
        writer.writerows([*rows, *rows[:REPEATED]])
    return file


def choose(page: Any, selector: str, value: str) -> None:
    """Type into a list that takes more than it offers."""
    box = page.locator(f"{selector} input")
    box.fill(value)
    box.press("Enter")


def examples(page: Any, count: int) -> Any:
    """The card of what was found, once it counts so many usable examples."""
    return page.locator(f'#dataset-found .found[data-examples="{count}"]')


def test_an_odd_csv_is_mapped_cleaned_and_trained_on(
    tmp_path: Path, odd_csv: Path, tiny_model: Path, shared_studio: Program,
    open_page: Callable[[str], Any]
) -> None:
    home, recipe = shared_studio.home, tmp_path / "recipe.yaml"
    save_recipe(short_recipe(tiny_model, tmp_path, **UNWATCHED), recipe)
    page = open_page(shared_studio.url)
    open_recipe(page, recipe)
    show_tab(page, "Dataset")
    examples(page, 12).wait_for()

    # Columns nobody knows: the form opens by itself, and shows the first record as it will be.
    choose(page, "#field-data-source", str(odd_csv))
    page.locator("#dataset-found", has_text="Not recognised").wait_for()
    choose(page, "#mapping-part-0", "{field}: {they wonder}")
    choose(page, "#mapping-part-1", "we say")
    page.locator("#mapping-preview .turn-taught", has_text="They cost 2 euros.").wait_for()
    page.locator("#mapping-preview", has_text="fruit: What do 2 apples cost?").wait_for()
    page.locator("#mapping-apply").click()
    examples(page, ROWS + REPEATED).wait_for()

    # One record as tokens: the answer is coloured, the question is not.
    learned = page.locator("#dataset-rendered .tokens .token-learned")
    learned.first.wait_for()
    assert "".join(learned.all_inner_texts()).replace("·", " ").startswith("They cost 2 euros.")
    assert learned.first.get_attribute("title").endswith("learned")
    assert page.locator("#dataset-rendered .tokens .token-special").count() >= 4
    page.locator("#dataset-next").click()
    page.locator("#dataset-raw", has_text="line 3, 2 of 45").wait_for()

    # A finding: its sample is shown, and dropping its rows leaves a copy that is the data now.
    finding = page.locator('[data-finding="exact_duplicates"]')
    assert finding.get_attribute("data-count") == str(REPEATED)
    finding.locator(".sample").first.click()
    page.locator("#dataset-raw", has_text="41 of 45").wait_for()
    finding.locator('[data-remedy="drop"]').click()
    page.locator('[data-finding="exact_duplicates"][data-chosen="drop"]').wait_for()
    page.locator("#dataset-clean").click()
    wait_for_text(page, "#dataset-cleaning", "Drop: 5 rows")
    examples(page, ROWS).wait_for()
    cleaned = home / "uploads" / "stall-cleaned.jsonl"
    assert page.locator("#field-data-source input").input_value() == str(cleaned)
    assert page.locator('[data-finding="exact_duplicates"]').count() == 0
    lines = [json.loads(line) for line in cleaned.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == ROWS
    assert set(lines[0]) == {"nr", "field", "they wonder", "we say"}

    show_tab(page, "Train")
    set_number(page, "training-batch-size", 2)
    set_number(page, "training-max-steps", 2)
    start_training(page, "stall")
    page.locator("#train-status [data-run=stall][data-state=done]").wait_for()
    assert [event["step"] for event in run_events(home, "stall") if event["type"] == "log"] == [
        1, 2]
    recipe = home / "runs" / "stall" / "recipe.yaml"
    assert "stall-cleaned.jsonl" in recipe.read_text(encoding="utf-8")


def test_a_mistake_in_ones_own_template_is_told_while_it_is_typed(
    idle_studio: Program, open_page: Callable[[str], Any]
) -> None:
    page = open_page(idle_studio.url)
    show_tab(page, "Dataset")
    examples(page, 720).wait_for()
    page.locator("#dataset-template-copy").click()
    box = page.locator("#field-data-custom-template textarea")
    page.locator("#dataset-template-error", has_text="Valid Jinja").wait_for()
    text = box.input_value()
    box.fill(text.replace("message['content']", "massage['content']"))
    wait_for_text(page, "#dataset-template-error", "massage.*line 4")
    box.blur()
    wait_for_text(page, "#dataset-rendered", "massage")
    page.locator("#dataset-raw .record").wait_for()
    box.fill(text.replace("<|im_end|>", "<|im_end|> "))
    box.blur()
    page.locator("#dataset-rendered .token-learned").first.wait_for()
