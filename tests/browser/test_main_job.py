"""A newcomer's way through the page, by clicking: on the real starter model, and once stopped."""

from __future__ import annotations

import re
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
    wait_for_points,
    wait_for_text,
)
from tests.ui.work import short_recipe

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


STEPS = 8
ENDLESS = 100_000
"""Steps of a run that ends when it is told to."""


def shorten(page: Any) -> None:
    """Fewer steps and few held-out examples, so that the job takes a minute."""
    show_tab(page, "Dataset")
    set_number(page, "data-eval-fraction", 0.01)
    show_tab(page, "Train")
    set_number(page, "training-batch-size", 2)
    set_number(page, "training-max-steps", STEPS)


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
    start_training(page, "orders")
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
    logs = [event for event in run_events(home, "orders") if event["type"] == "log"]
    assert [event["step"] for event in logs] == list(range(1, STEPS + 1))

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
    wait_for_text(page, "#export-plan", "orders-merged.*of disk")
    page.locator("#export-gguf label", has_text="GGUF q8_0").click()
    page.locator("#export-start").click()
    wait_for_text(page, "#export-work", "done in.*Transformers folder.*answers the same")
    wait_for_text(page, "#export-results", "orders-merged.*How it answers")
    merged = home / "exports" / "orders-merged"
    assert (merged / "config.json").is_file()
    assert list(merged.glob("*.safetensors"))


def test_a_reload_finds_the_run_and_stop_keeps_what_it_has(
    tmp_path: Path, tiny_model: Path, studio_at: Callable[[Path], Program],
    open_page: Callable[[str], Any],
) -> None:
    home, recipe = tmp_path / "home", tmp_path / "recipe.yaml"
    save_recipe(short_recipe(tiny_model, tmp_path, **{
        "training.max_steps": ENDLESS, "training.logging_steps": 1, **UNWATCHED}), recipe)
    page = open_page(studio_at(home).url)
    open_recipe(page, recipe)
    show_tab(page, "Train")
    start_training(page, "endless")
    before = wait_for_points(page, 3)

    page.reload()
    show_tab(page, "Train")
    assert wait_for_points(page, before) >= before

    page.locator("#train-stop").click()
    wait_for_text(page, "#train-status", "Stopped")
    wait_for_text(page, "#runs-table", "endless.*stopped")
    assert (home / "runs" / "endless" / "adapter" / "adapter_model.safetensors").is_file()
