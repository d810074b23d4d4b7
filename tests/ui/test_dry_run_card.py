"""The card of the dry run: what it shows of each ending, and that it follows the one task."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import gradio as gr
import pytest

from studio.arbiter import Holder
from studio.device import Calibration, Device
from studio.errors import BusyError, RunError
from studio.progress import Step
from studio.recipe import Recipe
from studio.settings import Settings
from studio.ui.panels import dry_run, dry_run_view
from studio.ui.reading import Reading
from studio.ui.seen import NEVER
from studio.ui.studio import Studio
from studio.ui.tasks import TaskView
from tests.training.measured import on_gpu


def test_measured_stands_beside_estimated_with_the_time_it_takes() -> None:
    found = on_gpu(450_000_000)
    shown = dry_run_view.result_view(TaskView("done", result=found))
    for part in found.parts:
        assert f"<td>{part.name.capitalize()}</td>" in shown
    assert "20.4 GB" in shown or "20.5 GB" in shown
    assert found.sentence in shown
    assert "The whole run, 100 steps" in shown and "at most 5 min 0 s" in shown


def test_what_was_measured_is_counted_in_the_words_of_the_method() -> None:
    one = on_gpu(450_000_000)
    assert "1 example, 1,024 tokens" in dry_run_view.measured_view(one)
    pairs = dataclasses.replace(one, method="dpo", batch=4, tokens=8192)
    assert "4 pairs of answers, 8,192 tokens" in dry_run_view.measured_view(pairs)


def test_running_out_of_memory_is_told_with_what_to_lower() -> None:
    shown = dry_run_view.result_view(TaskView("done", result=on_gpu(0, "forward pass of step 1")))
    assert "note-problem" in shown and "Ran out of memory at: forward pass of step 1." in shown
    assert "Lower the micro-batch" in shown and "The whole run" not in shown
    assert "–" in shown


def test_every_other_ending_is_a_note() -> None:
    failed = TaskView("failed", error=("The <data> is missing.", "Look."))
    assert "The &lt;data&gt; is missing." in dry_run_view.result_view(failed)
    assert "was stopped" in dry_run_view.result_view(TaskView("stopped"))
    assert dry_run_view.result_view(TaskView()) == ""


def test_the_calibration_is_told_or_that_there_is_none() -> None:
    assert "No dry run on this PC yet" in dry_run_view.calibration_view(Reading())
    device = Device("cpu", "CPU", "float32", 1,
                    calibration=Calibration(1.07, 640_000_000, 3, "a model", 0.0))
    shown = dry_run_view.calibration_view(Reading(device=device))
    assert "by 3 dry runs: ×1.07" in shown and "640.0 MB of overhead" in shown


def test_the_page_follows_the_work_and_sends_nothing_twice(settings: Settings) -> None:
    studio, go_on = Studio(settings), threading.Event()

    def work(progress: Any, stop: Any) -> Any:
        progress(Step("Forward pass of step 1", 3, 11, "stages"))
        go_on.wait(60)
        raise RunError("It broke.", "Mend it.")

    studio.dry_runs.start("Dry run", work)
    try:
        start, stop, shown, result, seen = dry_run.page(studio, NEVER)
        assert not start.visible and stop.visible and result == gr.skip()
        assert shown.visible
        holder = studio.arbiter.holder
        assert holder is not None and "on the Hardware tab" in holder.how_to_free
    finally:
        go_on.set()
    studio.dry_runs.wait(60)
    start, stop, shown, result, seen = dry_run.page(studio, seen)
    assert start.visible and not stop.visible and not shown.visible and "It broke." in result
    assert dry_run.page(studio, seen) == gr.skip()


def test_beside_a_training_it_does_not_start(settings: Settings) -> None:
    studio = Studio(settings)
    with (studio.arbiter.held(Holder("The training run a", "Stop it.")),
          pytest.raises(BusyError, match="The training run a")):
        dry_run.start_dry_run(studio, Recipe())
