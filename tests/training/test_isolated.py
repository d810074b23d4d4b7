"""Training in a process of its own: the same story, and every end of the process is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from studio.arbiter import Arbiter, Holder
from studio.errors import RunError
from studio.runs import create_run, open_run
from studio.settings import Settings
from studio.training.control import Control
from studio.training.isolated import train_isolated
from studio.training.job import JobRunner
from studio.training.loop import train
from tests.training.conftest import MakeRecipe, losses_of


def _child() -> psutil.Process:
    """The process that trains."""
    while True:
        found = [child for child in psutil.Process().children()
                 if any("isolated_process" in part for part in child.cmdline())]
        if found:
            return found[0]
        time.sleep(0.01)


def test_a_run_paused_in_a_process_of_its_own_goes_on_here_to_the_very_same_losses(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=100_000, training__scheduler="constant",
                         adapter__dropout=0.1)
    jobs = JobRunner(settings, Arbiter())
    run = jobs.start(recipe, "a", isolated=True)
    while run.story().step < 1:
        assert jobs.active is run
        time.sleep(0.01)
    jobs.pause()
    assert jobs.asked == "pause"
    jobs.wait()
    paused_at = run.story().step
    assert run.story().state == "paused" and not run.has_adapter and jobs.trouble is None
    assert [event["what"] for event in run.events() if event["type"] == "asked"] == ["pause"]
    assert not (run.path / "process.json").exists() and not (run.path / "asked.json").exists()
    train(recipe, run, lambda: run.story().step >= paused_at + 2, settings=settings, resume=True)
    whole = create_run(settings, recipe, "whole")
    train(recipe, whole, lambda: whole.story().step >= run.story().step, settings=settings)
    assert run.story().step >= paused_at + 2
    assert losses_of(run).items() <= losses_of(whole).items()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system ends no process for memory")
def test_a_process_that_the_system_kills_is_told_as_memory_that_ran_out(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    jobs = JobRunner(settings, Arbiter())
    run = jobs.start(make_recipe(training__out_of_memory="stop"), "a", isolated=True)
    _child().kill()
    jobs.wait()
    story = run.story()
    assert story.state == "failed" and story.error is not None
    assert "memory runs out" in story.error[0] and "batch_size" in story.error[1]
    assert jobs.trouble is None and jobs.active is None


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system ends no process for memory")
def test_a_process_that_the_system_kills_is_followed_by_one_that_has_the_memory_of_an_idle_chat(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    arbiter = Arbiter(lambda: 10**12)
    jobs = JobRunner(settings, arbiter)
    chat = Holder("The chat", "Close it.", lambda: True, need=lambda: 10**9)
    arbiter.acquire(chat)
    run = jobs.start(make_recipe(training__max_steps=40, training__save_steps=2), "a",
                     isolated=True)
    while not run.checkpoints():
        time.sleep(0.01)
    assert arbiter.holds(chat)
    _child().kill()
    jobs.wait()
    story = run.story()
    assert story.state == "done" and story.adapted == {} and not arbiter.holds(chat)
    assert "The chat shared it and was unloaded" in "".join(story.log_tail)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system ends no process for memory")
def test_a_process_that_the_system_kills_is_followed_by_one_that_needs_less(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    jobs = JobRunner(settings, Arbiter())
    run = jobs.start(make_recipe(training__max_steps=100_000, training__save_steps=2), "a",
                     isolated=True)
    while not run.checkpoints():
        time.sleep(0.01)
    _child().kill()
    while not run.story().adapted:
        assert jobs.active is run
        time.sleep(0.01)
    reached = run.story().step
    while run.story().step <= reached:
        assert jobs.active is run
        time.sleep(0.01)
    jobs.stop()
    jobs.wait()
    story = run.story()
    assert story.state == "stopped" and run.has_adapter
    assert story.adapted == {"training.batch_size": 2, "training.gradient_accumulation": 2}


def test_a_process_that_breaks_off_is_told_with_its_last_words(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = create_run(settings, make_recipe(), "a")
    (run.path / "recipe.yaml").write_text("model: {source: 1", encoding="utf-8")
    with pytest.raises(RunError, match="process broke off"):
        train_isolated(run, Control(), settings=settings)
    assert run.story().state == "failed" and not run.is_owned


_STUDIO = """
import sys, time
from pathlib import Path
from studio.arbiter import Arbiter
from studio.settings import Settings
from studio.training.job import JobRunner
jobs = JobRunner(Settings(home=Path(sys.argv[1]), offline=True), Arbiter())
jobs.resume("a", isolated=True)
time.sleep(1000)
"""


@pytest.mark.slow
def test_a_process_whose_studio_was_killed_stops_and_keeps_what_it_has(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = create_run(settings, make_recipe(training__max_steps=1_000_000), "a")
    studio = subprocess.Popen([sys.executable, "-c", _STUDIO, str(settings.home)],
                              cwd=Path(__file__).parents[2])
    try:
        while run.story().step < 1:
            assert studio.poll() is None
            time.sleep(0.02)
    finally:
        studio.kill()
        studio.wait()
    while open_run(settings, "a").is_owned:
        time.sleep(0.02)
    assert run.story().state == "stopped" and run.has_adapter
