"""Exporting by clicking: merge and a GGUF in one press, the report read, replaced, and deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chat_runs import home_with_runs
from tests.browser.conftest import PATIENCE_MILLISECONDS, Program
from tests.browser.pages import show_tab, wait_for_text
from tests.export.conftest import convertible_model  # noqa: F401 - a fixture

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


def export_and_wait(page: Any, ending: str) -> str:
    """Press Export and wait until it is over; what is said of the work."""
    page.locator("#export-start").click()
    return wait_for_text(page, "#export-work", ending)


def test_a_merge_and_a_gguf_are_written_checked_replaced_and_deleted(
    convertible_model: Path,  # noqa: F811
    shared_studio: Program, open_page: Callable[[str], Any],
) -> None:
    home = shared_studio.home
    home_with_runs(home, convertible_model, ["older", "orders"])
    page = open_page(shared_studio.url)
    show_tab(page, "Export")
    wait_for_text(page, "#export-about", "LoRA of rank 4")
    plan = wait_for_text(page, "#export-plan", "orders-q8_0.gguf.*of disk at the peak")
    assert "orders-merged" in plan
    # The tiny model's random weights are not made to be rounded.
    page.locator("#export-gguf label", has_text="GGUF q8_0").click()
    page.locator("#export-gguf label", has_text="GGUF f32").click()
    wait_for_text(page, "#export-plan", "orders-f32.gguf")
    export_and_wait(page, "done in.*Transformers folder.*answers the same.*"
                          "GGUF f32.*answers the same")
    exports = home / "exports"
    assert (exports / "orders-merged" / "config.json").is_file()
    assert (exports / "orders-f32.gguf").read_bytes()[:4] == b"GGUF"

    gguf = page.locator(".result[data-name='orders-f32.gguf']")
    gguf.get_by_text("How it answers").click()
    gguf.locator(".verification .tile[data-key=top1]").wait_for()
    gguf.get_by_text("How to use it").click()
    gguf.get_by_text("llama-server").first.wait_for()

    page.reload()
    show_tab(page, "Export")
    wait_for_text(page, "#export-work", "done in.*GGUF f32")
    wait_for_text(page, "#export-plan", "replaces the one that is there")
    page.locator("#export-start").click()
    page.get_by_text("There are exports of this name already").first.wait_for()
    page.locator("#export-replace input").check()
    page.locator("#export-check input").uncheck()
    wait_for_text(page, "#export-plan", "orders-merged.*replaces")
    export_and_wait(page, "done in.*GGUF q8_0")

    page.locator(".result[data-name='orders-merged'] [data-what=delete]").click()
    page.locator("#export-delete-yes").click()
    page.locator(".result[data-name='orders-merged']").wait_for(state="detached",
                                                                timeout=PATIENCE_MILLISECONDS)
    assert not (exports / "orders-merged").exists() and (exports / "orders-f32.gguf").exists()


def test_what_would_be_sent_to_the_hub_is_shown_before_it_can_be_sent(
    tiny_model: Path, shared_studio: Program, open_page: Callable[[str], Any],
) -> None:
    home_with_runs(shared_studio.home, tiny_model, ["public"])
    page = open_page(shared_studio.url)
    show_tab(page, "Export")
    wait_for_text(page, "#export-plan", "public-merged")
    for group, name in (("python", "Transformers"), ("gguf", "GGUF q8_0"),
                        ("share", "Adapter alone")):
        page.locator(f"#export-{group} label", has_text=name).click()
    wait_for_text(page, "#export-plan", "public-adapter")
    export_and_wait(page, "done in.*Adapter alone.*answers the same")

    page.locator("#export-hub button").first.click()
    page.locator("#hub-export input").click()
    page.get_by_role("option", name="public-adapter").click()
    page.locator("#hub-repository textarea, #hub-repository input").fill("anna/public")
    assert not page.locator("#hub-push").is_visible()
    page.locator("#hub-show").click()
    shown = wait_for_text(page, "#hub-plan", "private.*adapter_model.safetensors")
    assert "Nothing has been sent" in shown
    page.locator("#hub-push").wait_for()
    page.locator("#hub-private input").uncheck()
    page.locator("#hub-push").wait_for(state="hidden")
    page.locator("#hub-show").click()
    wait_for_text(page, "#hub-plan", "everybody can see")
    page.locator("#hub-push").click()  # the studio of these tests is offline
    wait_for_text(page, "#hub-work", "offline")
