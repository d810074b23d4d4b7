"""Deleting a run: all of it, or nothing of it while somebody needs it."""

from __future__ import annotations

import pytest

from studio.errors import BusyError, RunError
from studio.recipe import Recipe
from studio.runs import create_run, list_runs
from studio.settings import Settings
from studio.training.deleting import delete_run
from studio.training.queue import Queue


def test_a_run_is_deleted_with_everything_in_it(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "orders")
    run.append("state", state="done")
    (run.checkpoint_path / "checkpoint-5").mkdir(parents=True)
    create_run(settings, Recipe(), "other")
    delete_run(settings, "orders")
    assert [left.name for left in list_runs(settings)] == ["other"]
    assert [path.name for path in settings.runs.iterdir()] == ["other"]


def test_a_run_at_work_is_not_deleted(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "orders")
    with run.owned():
        run.append("state", state="training")
        with pytest.raises(BusyError, match="being trained"):
            delete_run(settings, "orders")
        assert run.recipe == Recipe() and run.story().is_active
    delete_run(settings, "orders")
    assert list_runs(settings) == []


def test_a_run_that_waits_in_the_queue_is_not_deleted(settings: Settings) -> None:
    queue = Queue(settings)
    run = queue.add(Recipe(), "orders")
    with pytest.raises(BusyError, match="waits in the queue"):
        delete_run(settings, "orders")
    assert run.path.is_dir() and [entry.name for entry in queue.entries()] == ["orders"]


def test_a_name_never_leads_out_of_the_home(settings: Settings) -> None:
    create_run(settings, Recipe(), "orders")
    for name in ("..", "", "../runs/orders", "nosuch"):
        with pytest.raises(RunError):
            delete_run(settings, name)
    assert [run.name for run in list_runs(settings)] == ["orders"]
