"""GPTQ and AWQ by clicking: AutoRound writes them, their own readers load them to be checked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.export.output import read_report as told
from studio.export.quantize_shape import TUNING_STEPS
from studio.export.verify import read_report
from tests.browser.chat_runs import home_with_runs
from tests.browser.conftest import Program
from tests.browser.pages import show_tab, wait_for_text
from tests.browser.test_export import export_and_wait

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(3600)]


def test_both_are_written_on_the_runs_own_data_and_checked(
    tiny_model: Path, python_with_extras: Path, studio_at: Callable[[Path], Program],
    open_page: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    home_with_runs(home, tiny_model, ["orders"])
    monkeypatch.setattr(sys, "executable", str(python_with_extras))
    page = open_page(studio_at(home).url)
    show_tab(page, "Export")
    wait_for_text(page, "#export-plan", "orders-q8_0.gguf")
    page.locator("#export-gguf label", has_text="GGUF q8_0").click()
    for name in ("GPTQ", "AWQ"):
        page.locator("#export-gpu label", has_text=name).click()
    wait_for_text(page, "#export-plan", "orders-gptq.*orders-awq")
    page.locator("#export-tuned input").check()
    # Random weights are not made to be rounded: that they answer alike is not asked.
    export_and_wait(page, "done in.*GPTQ.*AWQ")
    for name in ("orders-gptq", "orders-awq"):
        assert told(home / "exports" / name)["tuning_steps"] == TUNING_STEPS
        found = read_report(home / "exports" / name)
        assert found is not None and found.measures is not None, name
        assert found.kind == "model folder" and "held out" in found.sample
        assert found.measures.tokens >= 100 and all(check.passed for check in found.checks)
        shown = page.locator(f".result[data-name='{name}']")
        shown.get_by_text("How it answers").click()
        shown.locator(".verification .tile[data-key=top1]").wait_for()
