"""The queue: an order that survives everything, and a runner that works it off."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable

import pytest

from studio.arbiter import Arbiter, Holder
from studio.errors import BusyError, RunError
from studio.runs import create_run, open_run
from studio.settings import Settings
from studio.training.control import request_end
from studio.training.job import JobRunner
from studio.training.loop import train
from studio.training.queue import Entry, Queue
from studio.training.queue_runner import QueueRunner
from tests.training.conftest import MakeRecipe


def _names(queue: Queue) -> list[str]:
    return [entry.name for entry in queue.entries()]


def _until(what: Callable[[], bool]) -> None:
    while not what():
        time.sleep(0.01)


def test_runs_wait_in_order_are_moved_and_taken_out_and_another_studio_sees_the_same(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    queue = Queue(settings)
    assert queue.entries() == []
    for name in "abcd":
        queue.add(make_recipe(), name, isolated=name == "b")
    queue.move("d", -2)
    queue.move("a", 99)
    assert _names(queue) == ["d", "b", "c", "a"]
    assert Queue(settings).entries()[1] == Entry("b", isolated=True)
    assert open_run(settings, "a").story().state == "queued"
    queue.remove("c")
    assert _names(queue) == ["d", "b", "a"] and not (settings.runs / "c").exists()
    with pytest.raises(RunError, match="c does not wait") as caught:
        queue.move("c", 1)
    assert "d, b, a" in caught.value.hint
    with pytest.raises(RunError, match="already"):
        queue.add_again("a")


def test_a_run_that_stopped_can_wait_again_and_keeps_its_folder_when_taken_out(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    queue = Queue(settings)
    for name in ("stopped", "done", "cancelled"):
        run = create_run(settings, make_recipe(), name)
        run.append("state", state=name, detail="")
    queue.add_again("stopped")
    assert _names(queue) == ["stopped"]
    for name in ("done", "cancelled"):
        with pytest.raises(RunError, match=r"finished|cancelled"):
            queue.add_again(name)
    queue.remove("stopped")
    assert queue.entries() == [] and open_run(settings, "stopped").story().state == "stopped"


def test_entries_whose_run_is_gone_or_over_drop_out_with_a_note(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    queue = Queue(settings)
    gone, over = queue.add(make_recipe(), "gone"), queue.add(make_recipe(), "over")
    queue.add(make_recipe(), "waits")
    shutil.rmtree(gone.path)
    over.append("state", state="done", detail="")
    assert _names(queue) == ["waits"]
    assert queue.notes == ["gone is no longer in the queue: its folder is gone.",
                           "over is no longer in the queue: it is done."]


def test_what_was_begun_by_a_program_that_is_gone_waits_again_first(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    queue = Queue(settings)
    queue.add(make_recipe(), "a")
    queue.add(make_recipe(), "b")
    assert queue.worker.take()
    assert queue.take() == Entry("a")
    assert _names(queue) == ["b"] and Queue(settings).working == "a"
    queue.worker.release()  # as the system does when the program dies
    with open_run(settings, "a").owned():  # its own process lives on and saves
        assert _names(Queue(settings)) == ["b"]
    assert _names(Queue(settings)) == ["a", "b"] and queue.working == ""


def test_many_who_change_the_queue_at_once_lose_no_entry(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    def add(who: int) -> None:
        for number in range(4):
            Queue(settings).add(recipe, f"{who}-{number}")

    recipe = make_recipe()
    threads = [threading.Thread(target=add, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(_names(Queue(settings))) == sorted(
        f"{who}-{number}" for who in range(4) for number in range(4))


def test_a_damaged_file_is_told_with_what_to_do(settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / "queue.json").write_text(json.dumps({"entries": 3}), encoding="utf-8")
    with pytest.raises(RunError, match=r"queue\.json cannot be read") as caught:
        Queue(settings).entries()
    assert "add them again" in caught.value.hint


def test_a_failed_run_does_not_stop_the_next_and_the_queue_ends_when_it_is_empty(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    jobs = JobRunner(settings, Arbiter())
    runner = QueueRunner(settings, jobs)
    runner.queue.add(make_recipe(model__source=str(settings.home / "nothing")), "fails")
    damaged = runner.queue.add(make_recipe(), "damaged")
    (damaged.path / "recipe.yaml").write_text("model: 3", encoding="utf-8")
    runner.queue.add(make_recipe(training__max_steps=2), "works")
    assert not runner.is_running and jobs.active is None
    runner.run()
    runner.wait(300)
    assert not runner.is_running and runner.queue.entries() == []
    assert runner.finished == ["fails", "works"]
    assert open_run(settings, "works").story().state == "done"
    assert ["damaged could not begin" in note for note in runner.queue.notes] == [True]


def test_a_pause_holds_the_queue_a_cancel_goes_on_and_a_close_keeps_the_run_in_it(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    long = make_recipe(training__max_steps=100_000)
    jobs = JobRunner(settings, Arbiter())
    runner = QueueRunner(settings, jobs)
    first = runner.queue.add(long, "first")
    second = runner.queue.add(long, "second")
    runner.run()
    _until(lambda: first.story().step >= 1)
    request_end(first, "pause")  # whoever asks, this page or another program
    runner.wait(300)
    assert first.story().state == "paused" and not runner.is_running
    assert _names(runner.queue) == ["first", "second"]
    runner.run()
    _until(lambda: jobs.active is not None)
    jobs.cancel()
    _until(lambda: second.story().step >= 1)
    assert first.story().state == "cancelled" and runner.finished == ["first"]
    with pytest.raises(BusyError, match="Another studio"):
        QueueRunner(settings, jobs).run()
    runner.close()
    assert second.story().state == "stopped" and jobs.active is None
    restarted = QueueRunner(settings, jobs)
    assert _names(restarted.queue) == ["second"] and not restarted.is_running


def test_it_waits_for_a_busy_device_and_says_for_whom(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    arbiter = Arbiter()
    chat = Holder("The chat", "Close the chat.")
    arbiter.acquire(chat)
    runner = QueueRunner(settings, JobRunner(settings, arbiter))
    runner.queue.add(make_recipe(training__max_steps=1), "a")
    runner.run()
    _until(lambda: bool(runner.waiting_for))
    assert "The chat is using this PC" in runner.waiting_for
    runner.hold()
    runner.wait(60)
    assert _names(runner.queue) == ["a"] and runner.waiting_for == ""
    arbiter.release(chat)
    runner.run()
    runner.wait(300)
    assert open_run(settings, "a").story().state == "done"


def test_a_run_that_was_stopped_goes_on_when_it_is_its_turn(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=4)
    run = create_run(settings, recipe, "a")
    train(recipe, run, lambda: run.story().step >= 2, settings=settings)
    runner = QueueRunner(settings, JobRunner(settings, Arbiter()))
    runner.queue.add_again("a")
    runner.run()
    runner.wait(300)
    assert run.story().state == "done" and sorted(
        point.step for point in run.story().points) == [1, 2, 3, 4]
