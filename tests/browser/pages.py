"""What the page tests do on a page and read from a home, and what their recipes leave out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.browser.conftest import PATIENCE_MILLISECONDS

UNWATCHED = {"monitor.sample_records": 0, "monitor.forgetting": False}
"""Neither asked for samples nor measured for what they forget, which takes longer than they do."""


def show_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def set_number(page: Any, key: str, value: float) -> None:
    """Type a value into the number box of a field of the recipe."""
    fill_number(page, f"field-{key}", value)


def wait_for_text(page: Any, selector: str, pattern: str) -> str:
    """Wait until an element says something; gives what it says."""
    from playwright.sync_api import expect

    found = page.locator(selector)
    expect(found).to_have_text(re.compile(pattern, re.S | re.I), timeout=PATIENCE_MILLISECONDS)
    return str(found.inner_text())


def open_recipe(page: Any, path: Path) -> None:
    """Fill the whole form from a recipe file, by the button of the page."""
    with page.expect_file_chooser() as chooser:
        page.locator("#recipe-open").click()
    chooser.value.set_files(path)
    page.get_by_text("The recipe is open").first.wait_for()


def fill_number(page: Any, element: str, value: float) -> None:
    """Type a value into the number box of the component with this id."""
    box = page.locator(f"#{element} input[type=number]")
    box.fill(str(value))
    box.press("Enter")
    box.blur()


def plotted_points(page: Any) -> int:
    """How many points the loss curve has on the screen."""
    return int(page.evaluate(
        "() => Math.max(0, ...[...document.querySelectorAll('#train-plot .js-plotly-plot')]"
        ".flatMap(plot => (plot.data || []).map(line => (line.x || []).length)))"
    ))


def wait_for_points(page: Any, least: int) -> int:
    """Wait until it has so many; gives how many it has."""
    page.wait_for_function(
        "least => [...document.querySelectorAll('#train-plot .js-plotly-plot')]"
        ".some(plot => (plot.data || []).some(line => (line.x || []).length >= least))",
        arg=least, timeout=PATIENCE_MILLISECONDS,
    )
    return plotted_points(page)


def ask(page: Any, prompt: str, turns: int = 1) -> dict[str, str]:
    """Send a prompt on the Chat tab, and wait until so many turns are answered; the answers to
    this one by column."""
    page.locator("#chat-prompt textarea").fill(prompt)
    page.locator("#chat-prompt textarea").press("Enter")
    wait_until_answered(page, turns)
    found: dict[str, str] = page.locator("#chat-board .exchange").last.evaluate(
        """exchange => Object.fromEntries([...exchange.querySelectorAll('[data-column]')].map(
            one => [one.dataset.column, one.querySelector('.answer-text').textContent]))""")
    return found


def wait_until_answered(page: Any, turns: int) -> None:
    """Wait until the talk has so many turns, and every column has ended its answers."""
    page.wait_for_function(
        """turns => !document.querySelector('#chat-send').disabled
            && document.querySelectorAll('#chat-board .exchange').length === turns
            && !document.querySelector('#chat-board [data-ending=""]')
            && !document.querySelector('#chat-board .note-problem')""",
        arg=turns, timeout=PATIENCE_MILLISECONDS)


def start_training(page: Any, name: str) -> None:
    """Start the run that the form describes, by its button on the Train tab."""
    page.locator("#train-name input, #train-name textarea").fill(name)
    page.locator("#train-start").click()


def run_events(home: Path, name: str) -> list[dict[str, Any]]:
    """What a run has told, oldest first."""
    lines = (home / "runs" / name / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
