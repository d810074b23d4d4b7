"""The Train tab in a browser: a queue of real runs that outlives a reload and a killed studio."""

from __future__ import annotations

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
    set_number,
    show_tab,
    wait_for_points,
    wait_for_text,
)
from tests.ui.work import short_recipe

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

LONG_STEPS = 400
"""Of some hundredths of a second each: long enough that a person can press Pause before the end."""


RECORD_NOTIFICATIONS = """() => {
    window.told = [];
    window.Notification = class {
        constructor(title) { window.told.push(title); }
        static permission = 'granted';
        static async requestPermission() { return 'granted'; }
    };
}"""
"""A browser without a desktop shows none; this one writes down what it is asked to show."""


def show_part(page: Any, name: str) -> None:
    """Open the Train tab and one of its sub-tabs."""
    show_tab(page, "Train")
    page.get_by_role("tab", name=name).click()


def add_to_queue(page: Any, name: str) -> None:
    show_tab(page, "Train")
    page.locator("#train-name input, #train-name textarea").fill(name)
    page.locator("#train-add").click()
    page.locator(f"#queue-waiting li[data-run={name}]").wait_for()


def waiting(page: Any) -> list[str]:
    """The names in the queue, in order."""
    return [str(row.get_attribute("data-run"))
            for row in page.locator("#queue-waiting li").all()]


def wait_for_order(page: Any, names: list[str]) -> None:
    page.wait_for_function(
        "names => [...document.querySelectorAll('#queue-waiting li')]"
        ".map(row => row.dataset.run).join() === names", arg=",".join(names))


def events(home: Path, name: str, kind: str) -> list[dict[str, Any]]:
    """What a run has told of one kind, oldest first."""
    lines = (home / "runs" / name / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]


def steps_told(home: Path, name: str) -> list[int]:
    return [event["step"] for event in events(home, name, "log")]


def test_a_queue_outlives_a_reload_and_a_kill_and_a_paused_run_goes_on(
    tmp_path: Path, tiny_model: Path, studio_at: Callable[[Path], Program],
    open_page: Callable[[str], Any],
) -> None:
    home, recipe = tmp_path / "home", tmp_path / "recipe.yaml"
    save_recipe(short_recipe(tiny_model, tmp_path, **{
        "training.max_steps": LONG_STEPS, "training.logging_steps": 1,
        "training.gradient_accumulation": 4, **UNWATCHED}), recipe)
    program = studio_at(home)
    page = open_page(program.url)
    open_recipe(page, recipe)

    # Two runs are lined up, and the second is moved to the front.
    add_to_queue(page, "long")
    set_number(page, "training-max-steps", 12)
    add_to_queue(page, "short")
    assert waiting(page) == ["long", "short"]
    page.get_by_role("button", name="Later: long").click()
    wait_for_order(page, ["short", "long"])

    # A note at the end is a switch of the browser, so it outlives a reload too.
    page.locator("#notify summary").click()
    page.get_by_label("Play a sound").check()

    # A page that is reloaded shows the same order; so does a studio that was killed, and there
    # nothing begins by itself.
    page.reload()
    show_part(page, "Queue")
    wait_for_order(page, ["short", "long"])
    wait_for_text(page, "#notify .notify-state", "Sound")
    program.kill()
    program = studio_at(home)
    page = open_page(program.url)
    show_part(page, "Queue")
    wait_for_order(page, ["short", "long"])
    wait_for_text(page, "#queue-state", "held")

    # One run after the other; the second is paused.
    page.locator("#queue-run").click()
    show_part(page, "Run")
    page.locator("#train-status [data-run=long][data-state=training]").wait_for()
    page.locator("#train-pause").click()
    wait_for_text(page, "#train-status", "Paused")
    paused_at = steps_told(home, "long")[-1]
    assert 0 < paused_at < LONG_STEPS
    assert not (home / "runs" / "long" / "adapter").exists()
    show_part(page, "Queue")
    wait_for_text(page, "#queue-ended", "Done.*short")
    wait_for_order(page, ["long"])
    wait_for_text(page, "#queue-waiting", f"goes on after step {paused_at:,} of {LONG_STEPS}")

    # Killed while it is paused: the next studio draws what it has told, it goes on, and no step is
    # trained twice.
    program.kill()
    page = open_page(studio_at(home).url)
    show_part(page, "Run")
    wait_for_points(page, paused_at)
    wait_for_text(page, "#runs-table", "long.*paused")
    page.evaluate(RECORD_NOTIFICATIONS)
    page.locator("#notify summary").click()
    page.get_by_label("Show a notification").check()
    page.locator("#train-resume").click()
    wait_for_text(page, "#train-status", "Done")
    page.wait_for_function("() => window.told.includes('long: done')")
    assert steps_told(home, "long") == list(range(1, LONG_STEPS + 1))
    assert [plan["start_step"] for plan in events(home, "long", "plan")] == [0, paused_at]
    show_part(page, "Queue")
    wait_for_text(page, "#queue-waiting", "The queue is empty")
    show_part(page, "Run")

    # One more is cancelled, after a question; nothing of it is kept but its story.
    open_recipe(page, recipe)
    page.locator("#train-name input, #train-name textarea").fill("unwanted")
    page.locator("#train-start").click()
    page.locator("#train-cancel").click()
    assert page.locator("#train-status [data-run=unwanted]").is_visible()
    page.locator("#train-cancel-now").click()
    wait_for_text(page, "#train-status", "Cancelled.*unwanted")
    assert not (home / "runs" / "unwanted" / "adapter").exists()

    # Both over one another.
    for name in ("short", "long"):
        page.locator(f"#runs-table [data-compare={name}]").click()
    show_part(page, "Compare")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#compare-plot .js-plotly-plot')]"
        ".some(plot => ['short', 'long'].every(name => (plot.data || [])"
        ".some(line => (line.name || '').includes(name) && line.x.length)))")
