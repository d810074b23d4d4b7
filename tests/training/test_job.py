"""The background job: one at a time, stoppable, and never lost when the program ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from studio.arbiter import Arbiter, Holder
from studio.errors import BusyError, RunError
from studio.runs import create_run, list_runs, open_run
from studio.settings import Settings
from studio.training.job import JobRunner
from tests.training.conftest import MakeRecipe


def test_a_second_start_names_the_run_that_is_training_and_leaves_no_folder(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    arbiter = Arbiter()
    jobs = JobRunner(settings, arbiter)
    run = jobs.start(make_recipe(training__max_steps=500), "first")
    try:
        assert jobs.active is run
        holder = arbiter.holder
        assert holder is not None and holder.what == "The training run first"
        with pytest.raises(BusyError, match="first"):
            jobs.start(make_recipe(), "second")
        with pytest.raises(BusyError, match="first"):
            jobs.resume("first")
        assert [found.name for found in list_runs(settings)] == ["first"]
    finally:
        jobs.stop()
        jobs.wait()
    assert jobs.active is None and arbiter.holder is None
    assert run.story().state == "stopped"


def test_a_run_is_started_stopped_resumed_and_finished(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    jobs = JobRunner(settings, Arbiter())
    run = jobs.start(make_recipe(training__max_steps=10), "a")
    while run.story().step < 2:
        assert jobs.active is run
        time.sleep(0.02)
    jobs.stop()
    jobs.wait()
    assert run.story().state == "stopped" and run.has_adapter
    again = jobs.resume("a")
    jobs.wait()
    assert again.story().state == "done"
    assert [point.step for point in again.story().points] == list(range(1, 11))
    with pytest.raises(RunError, match="finished"):
        jobs.resume("a")


def test_a_failed_run_frees_the_device_for_the_next_one(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    jobs = JobRunner(settings, Arbiter())
    failed = jobs.start(make_recipe(model__source=str(tmp_path / "gone")), "failed")
    jobs.wait()
    assert failed.story().state == "failed" and jobs.active is None
    following = jobs.start(make_recipe(training__max_steps=1), "following")
    jobs.wait()
    assert following.story().state == "done"


def test_a_busy_device_is_refused_with_its_holder_and_an_idle_one_gives_way(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    arbiter = Arbiter()
    jobs = JobRunner(settings, arbiter)
    chat = Holder("The chat", "Close the chat.")
    arbiter.acquire(chat)
    with pytest.raises(BusyError, match="The chat"):
        jobs.start(make_recipe(), "a")
    assert list_runs(settings) == [] and arbiter.holder is chat
    chat.release_when_idle = lambda: True
    jobs.start(make_recipe(training__max_steps=1), "a")
    jobs.wait()
    assert open_run(settings, "a").story().state == "done"


def test_a_name_that_is_taken_frees_the_device(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    arbiter = Arbiter()
    create_run(settings, make_recipe(), "a")
    with pytest.raises(RunError, match="already"):
        JobRunner(settings, arbiter).start(make_recipe(), "a")
    assert arbiter.holder is None


def test_of_many_threads_that_start_at_once_one_wins(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    jobs = JobRunner(settings, Arbiter())
    outcomes: list[str] = []

    def start(number: int) -> None:
        try:
            outcomes.append(jobs.start(make_recipe(training__max_steps=500), f"r{number}").name)
        except BusyError:
            outcomes.append("busy")

    threads = [threading.Thread(target=start, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs.stop()
    jobs.wait()
    assert outcomes.count("busy") == 5 and len(list_runs(settings)) == 1


_PROGRAM = """
import sys
from pathlib import Path
from studio.arbiter import Arbiter
from studio.recipe import load_recipe
from studio.settings import Settings
from studio.training.job import JobRunner
jobs = JobRunner(Settings(home=Path(sys.argv[1]), offline=True), Arbiter())
run = jobs.start(load_recipe(sys.argv[2]), "closing")
while run.story().step < 3:
    jobs.wait(0.05)
"""


def test_a_program_that_just_ends_stops_its_run_and_keeps_what_it_has(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    from studio.recipe import save_recipe

    save_recipe(make_recipe(training__max_steps=100_000), tmp_path / "recipe.yaml")
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(settings.home), str(tmp_path / "recipe.yaml")],
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )
    run = open_run(settings, "closing")
    assert done.returncode == 0, done.stderr
    assert run.story().state == "stopped" and run.has_adapter, done.stderr


def test_a_job_is_paused_resumed_and_cancelled_and_shows_at_once_what_was_asked(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    jobs = JobRunner(settings, Arbiter())
    run = jobs.start(make_recipe(training__max_steps=100_000), "a")
    jobs.pause()
    assert jobs.asked == "pause"
    jobs.wait()
    assert run.story().state == "paused" and jobs.asked == "" and jobs.active is None
    again = jobs.resume("a")
    while again.story().step < 1:
        assert jobs.active is again
        time.sleep(0.02)
    jobs.cancel()
    jobs.wait()
    assert again.story().state == "cancelled" and not again.checkpoint_path.exists()
    with pytest.raises(RunError, match="cancelled"):
        jobs.resume("a")
    assert jobs.trouble is None


def test_a_run_that_another_program_trains_is_named_with_what_to_do(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    other = JobRunner(settings, Arbiter())
    run = other.start(make_recipe(training__max_steps=100_000), "theirs")
    while not run.is_owned:
        time.sleep(0.01)
    arbiter = Arbiter()
    try:
        with pytest.raises(BusyError, match="theirs") as caught:
            JobRunner(settings, arbiter).start(make_recipe(), "ours")
        assert "queue" in caught.value.hint and "--home" in caught.value.hint
        assert arbiter.holder is None and [one.name for one in list_runs(settings)] == ["theirs"]
    finally:
        other.cancel()
        other.wait()
    jobs = JobRunner(settings, arbiter)
    jobs.start(make_recipe(training__max_steps=1), "ours")
    jobs.wait()  # two trainings in one process would share Accelerate's state


def test_a_run_whose_folder_is_gone_leaves_its_trouble_with_the_runner(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    arbiter = Arbiter()
    jobs = JobRunner(settings, arbiter)
    run = jobs.start(make_recipe(training__max_steps=100_000), "a")
    while run.story().step < 1:
        assert jobs.active is not None, (jobs.trouble, run.story().error)
        time.sleep(0.02)
    while run.path.exists():  # the training may write into it meanwhile
        shutil.rmtree(run.path, ignore_errors=True)
    jobs.wait()
    assert jobs.trouble is not None and jobs.trouble.hint
    assert jobs.active is None and arbiter.holder is None
