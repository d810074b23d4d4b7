"""A newcomer's way through the page, by clicking, on the real starter model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE_MILLISECONDS, Program

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


STEPS = 8


def show_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def set_number(page: Any, key: str, value: float) -> None:
    """Type a value into the number box of a field."""
    box = page.locator(f"#field-{key} input[type=number]")
    box.fill(str(value))
    box.press("Enter")
    box.blur()


def wait_for_text(page: Any, selector: str, pattern: str) -> str:
    """Wait until an element says something; gives what it says."""
    from playwright.sync_api import expect

    found = page.locator(selector)
    expect(found).to_have_text(re.compile(pattern, re.S | re.I), timeout=PATIENCE_MILLISECONDS)
    return str(found.inner_text())


def shorten(page: Any) -> None:
    """Fewer steps and few held-out examples, so that the job takes a minute."""
    show_tab(page, "Dataset")
    set_number(page, "data-eval-fraction", 0.01)
    show_tab(page, "Train")
    set_number(page, "training-batch-size", 2)
    set_number(page, "training-max-steps", STEPS)


def plotted_points(page: Any) -> int:
    """How many points the loss curve has on the screen."""
    return int(page.evaluate(
        "() => Math.max(0, ...[...document.querySelectorAll('#train-plot .js-plotly-plot')]"
        ".flatMap(plot => (plot.data || []).map(line => (line.x || []).length)))"
    ))


def wait_for_points(page: Any, least: int) -> int:
    page.wait_for_function(
        "least => [...document.querySelectorAll('#train-plot .js-plotly-plot')]"
        ".some(plot => (plot.data || []).some(line => (line.x || []).length >= least))",
        arg=least, timeout=PATIENCE_MILLISECONDS,
    )
    return plotted_points(page)


def run_events(home: Path) -> list[dict[str, Any]]:
    (folder,) = (home / "runs").iterdir()
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_main_job_by_clicking(
    home: Path, studio_at: Callable[[Path], Program], open_page: Callable[[str], Any]
) -> None:
    page = open_page(studio_at(home).url)

    show_tab(page, "Dataset")
    wait_for_text(page, "#dataset-found", "messages.*720|720.*messages")
    page.locator("#dataset-rendered .token-learned").first.wait_for()

    show_tab(page, "LoRA")
    wait_for_text(page, "#lora-count", "4,884,480")
    set_number(page, "adapter-rank", 8)
    wait_for_text(page, "#lora-count", "2,442,240")

    shorten(page)
    page.locator("#train-name input, #train-name textarea").fill("orders")
    page.locator("#train-start").click()
    first = wait_for_points(page, 2)
    assert wait_for_points(page, first + 2) > first

    second = open_page(page.url)
    show_tab(second, "Train")
    wait_for_points(second, first)
    second.locator("#train-start").click()
    busy = re.compile("The run orders is training right now", re.S)
    second.get_by_text(busy).first.wait_for()
    second.close()

    wait_for_text(page, "#train-status", "Done|finished")
    assert [event["step"] for event in run_events(home) if event["type"] == "log"] == list(
        range(1, STEPS + 1))

    show_tab(page, "Chat")
    wait_for_text(page, "#chat-runs", "orders")
    page.locator("#chat-more button").first.click()
    # Typed again at the end: what the page was still doing must not put the old number back.
    for key, value in (("temperature", "0"), ("max-new-tokens", "24"), ("temperature", "0")):
        box = page.locator(f"#chat-{key} input[type=number]")
        box.fill(value)
        box.press("Enter")
        box.blur()
    page.locator("#chat-prompt textarea").fill("What is the capital of France?")
    page.locator("#chat-send").click()
    wait_for_text(page, "#chat-board", "base.*Paris.*orders.*tokens/s")

    show_tab(page, "Export")
    page.locator("#export-run input").click()
    page.get_by_role("option", name=re.compile("orders")).click()
    page.locator("#export-merge").click()
    wait_for_text(page, "#export-results", "orders")
    merged = home / "exports" / "orders"
    assert (merged / "config.json").is_file()
    assert list(merged.glob("*.safetensors"))


def test_a_reload_finds_the_run_and_stop_keeps_what_it_has(
    home: Path, studio_at: Callable[[Path], Program], open_page: Callable[[str], Any]
) -> None:
    program = studio_at(home)
    page = open_page(program.url)
    shorten(page)
    set_number(page, "training-max-steps", 500)
    page.locator("#train-start").click()
    before = wait_for_points(page, 3)

    page.reload()
    show_tab(page, "Train")
    assert wait_for_points(page, before) >= before

    page.locator("#train-stop").click()
    wait_for_text(page, "#train-status", "Stopped")
    (folder,) = (home / "runs").iterdir()
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()

    program.kill()
    again = open_page(studio_at(home).url)
    show_tab(again, "Train")
    wait_for_text(again, "#runs-table", "stopped")
    assert wait_for_points(again, before) >= before
