"""Background work that a page starts and no page owns."""

from __future__ import annotations

import threading

import pytest

from studio.arbiter import Arbiter, Holder
from studio.errors import BusyError, ExportError, Stopped
from studio.progress import Step
from studio.ui.tasks import Tasks

PATIENCE_SECONDS = 60


def test_work_reports_its_steps_and_its_result():
    tasks, reported, go_on = Tasks(Arbiter()), threading.Event(), threading.Event()

    def work(progress, stop):  # type: ignore[no-untyped-def]
        progress(Step("Merging layers", 3, 12, "layers"))
        reported.set()
        go_on.wait(PATIENCE_SECONDS)
        return "merged"

    tasks.start("Merging orders", work)
    assert reported.wait(PATIENCE_SECONDS)
    now = tasks.snapshot()
    assert (now.state, now.title, now.step.fraction) == ("running", "Merging orders", 0.25)
    go_on.set()
    done = tasks.wait(PATIENCE_SECONDS)
    assert (done.state, done.result) == ("done", "merged")
    assert done.version > now.version


def test_the_device_is_held_for_the_length_of_the_work():
    arbiter, go_on = Arbiter(), threading.Event()
    tasks = Tasks(arbiter)
    tasks.start("Merging orders", lambda progress, stop: go_on.wait(PATIENCE_SECONDS))
    with pytest.raises(BusyError, match="Merging orders"):
        arbiter.acquire(Holder("Training", ""))
    with pytest.raises(BusyError, match="Merging orders is still at work"):
        tasks.start("Merging again", lambda progress, stop: None)
    go_on.set()
    tasks.wait(PATIENCE_SECONDS)
    assert arbiter.holder is None


def test_work_is_refused_while_training_holds_the_device():
    arbiter = Arbiter()
    arbiter.acquire(Holder("The training run orders", "Stop it."))
    tasks = Tasks(arbiter)
    with pytest.raises(BusyError, match="orders"):
        tasks.start("Merging orders", lambda progress, stop: None)
    assert tasks.snapshot().state == "idle"


def test_stop_ends_the_work_and_reads_as_stopped():
    tasks = Tasks(Arbiter())

    def work(progress, stop):  # type: ignore[no-untyped-def]
        while not stop():
            threading.Event().wait(0.01)
        raise Stopped("Stopped.")

    tasks.start("Merging orders", work)
    tasks.stop()
    assert tasks.wait(PATIENCE_SECONDS).state == "stopped"


def test_an_error_keeps_its_message_and_its_hint():
    tasks = Tasks(Arbiter())

    def work(progress, stop):  # type: ignore[no-untyped-def]
        raise ExportError("The disk is full.", "Free some space.")

    tasks.start("Merging orders", work)
    failed = tasks.wait(PATIENCE_SECONDS)
    assert (failed.state, failed.error) == ("failed", ("The disk is full.", "Free some space."))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_in_the_program_still_gives_the_device_back():
    arbiter = Arbiter()
    tasks = Tasks(arbiter)
    tasks.start("Merging orders", lambda progress, stop: 1 / 0)
    failed = tasks.wait(PATIENCE_SECONDS)
    assert failed.state == "failed" and "ZeroDivisionError" in failed.error[0]
    assert arbiter.holder is None
    tasks.start("Merging again", lambda progress, stop: None)
    assert tasks.wait(PATIENCE_SECONDS).state == "done"
