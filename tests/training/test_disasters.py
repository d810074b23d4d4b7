"""Disks that are full, folders that are gone, bytes that have changed: each ends in a sentence,
and what was learned can be gone on with."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from studio.errors import DiskError, ModelError, RunError, StudioError
from studio.models.shape import model_shape
from studio.recipe import Recipe
from studio.runs import Run, checkpoint_step, create_run, open_run
from studio.settings import Settings
from studio.training.loop import train
from studio.training.space import run_bytes
from tests.training.conftest import MakeRecipe

needs_limit = pytest.mark.skipif(sys.platform == "win32", reason="no limit for the size of files")


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe(training__max_steps=6, training__save_steps=2, adapter__dropout=0.1,
                       monitor__forgetting=False, monitor__sample_records=0)


@contextmanager
def _disk_that_fills() -> Iterator[Callable[[int], None]]:
    """Gives a function after which no file grows beyond so many bytes: what is longer is written
    in part, and the rest is refused."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda size_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _at_step(run: Run, step: int, happens: Callable[[], Any]) -> Callable[[], bool]:
    """A stop that never stops, but lets something happen once `step` is logged."""
    happened = False

    def stop() -> bool:
        nonlocal happened
        if not happened and run.story().step >= step:
            happened = True
            happens()
        return False

    return stop


_undisturbed: list[float] = []
"""The losses of a run in which nothing happened; all tests here train on the same."""


def _goes_on(settings: Settings, recipe: Recipe, run: Run) -> None:
    """A resume ends as a run does in which nothing happened."""
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    if not _undisturbed:
        whole = create_run(settings, recipe, "undisturbed")
        train(recipe, whole, lambda: False, settings=settings)
        _undisturbed.extend(point.loss for point in whole.story().points)
    assert [point.loss for point in run.story().points] == _undisturbed
    assert run.has_adapter


@needs_limit
def test_a_disk_that_is_full_at_a_checkpoint(settings: Settings, recipe: Recipe) -> None:
    run = create_run(settings, recipe, "a")
    with (_disk_that_fills() as fill, pytest.raises(
            DiskError, match=r"The checkpoint of step 4 cannot be written to") as no):
        train(recipe, run, _at_step(run, 3, lambda: fill(50_000)), settings=settings)
    assert "Free some space" in no.value.hint
    assert run.story().state == "failed" and run.story().error == (no.value.message, no.value.hint)
    assert [path.name for path in run.checkpoint_path.iterdir()] == ["checkpoint-2"]
    _goes_on(settings, recipe, run)


@needs_limit
def test_a_disk_that_is_full_at_an_event(settings: Settings, recipe: Recipe) -> None:
    run = create_run(settings, recipe, "a")
    events = run.path / "events.jsonl"
    with (_disk_that_fills() as fill,
          pytest.raises(DiskError, match="The run a cannot be written to")):
        train(recipe, run, _at_step(run, 3, lambda: fill(events.stat().st_size + 20)),
              settings=settings)
    torn = events.read_bytes().splitlines()[-1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(torn)
    assert run.story().state == "interrupted" and run.story().step == 3
    _goes_on(settings, recipe, run)


def test_a_run_folder_that_vanishes_while_it_trains(settings: Settings, recipe: Recipe) -> None:
    run = create_run(settings, recipe, "a")
    elsewhere = settings.home / "elsewhere"
    with pytest.raises(RunError, match=r"The folder of the run a has gone: .*runs/a\."):
        train(recipe, run, _at_step(run, 3, lambda: run.path.rename(elsewhere)),
              settings=settings)
    assert not run.path.exists()
    with pytest.raises(RunError, match="The folder of the run a has gone"):
        train(recipe, run, lambda: False, settings=settings, resume=True)
    with pytest.raises(RunError, match="There is no run named 'a'"):
        open_run(settings, "a")
    assert not run.path.exists()
    elsewhere.rename(run.path)
    _goes_on(settings, recipe, open_run(settings, "a"))


def test_a_base_model_that_is_deleted_between_stop_and_resume(
    settings: Settings, recipe: Recipe, tiny_model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    recipe = recipe.with_values({"model.source": str(base)})
    run = create_run(settings, recipe, "a")
    train(recipe, run, lambda: run.story().step >= 3, settings=settings)
    base.rename(tmp_path / "moved")
    with pytest.raises(ModelError) as missing:
        train(recipe, run, lambda: False, settings=settings, resume=True)
    assert str(base) in missing.value.message and missing.value.hint
    assert run.story().state == "failed" and run.checkpoints()
    (tmp_path / "moved").rename(base)
    _goes_on(settings, recipe, run)


def test_bytes_of_a_checkpoint_that_have_changed(settings: Settings, recipe: Recipe) -> None:
    run = create_run(settings, recipe, "a")
    train(recipe, run, lambda: run.story().step >= 4, settings=settings)
    older, newest = run.checkpoints()
    content = bytearray((newest / "optimizer.pt").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (newest / "optimizer.pt").write_bytes(content)
    _goes_on(settings, recipe, run)
    notes = [event["text"] for event in run.events() if event["type"] == "note"]
    assert (f"The checkpoint at step {checkpoint_step(newest)} is damaged (the bytes of "
            "optimizer.pt have changed).") in notes
    assert f"Going on from the checkpoint at step {checkpoint_step(older)}." in notes


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_value_in_the_data_that_is_no_number(
    settings: Settings, recipe: Recipe, orders: Path, value: str
) -> None:
    lines = orders.read_text(encoding="utf-8").splitlines()
    lines[3] = f'{{"messages": [{{"role": "user", "content": {value}}}]}}'
    orders.write_text("\n".join(lines), encoding="utf-8")
    run = create_run(settings, recipe, "a")
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    assert ("Warning: 1 record is left out; the first: turn 1 has no text. (line 4)."
            in run.story().log_tail)


def test_lines_of_the_story_that_are_damaged(settings: Settings, recipe: Recipe) -> None:
    run = create_run(settings, recipe, "a")
    train(recipe, run, lambda: run.story().step >= 3, settings=settings)
    with (run.path / "events.jsonl").open("ab") as file:
        file.write(b'\x00\xff\xfe{"type": "log"\n[1, 2]\n{"type": "log", "st')
    run = open_run(settings, "a")
    assert run.story().state == "stopped"
    _goes_on(settings, recipe, run)


def test_a_second_studio_on_the_same_home(settings: Settings, recipe: Recipe) -> None:
    run = create_run(settings, recipe, "a")
    refused: list[StudioError] = []

    def second() -> None:
        with pytest.raises(RunError) as no:
            train(recipe, open_run(settings, "a"), lambda: False, settings=settings)
        refused.append(no.value)

    train(recipe, run, _at_step(run, 2, second), settings=settings)
    assert "is being trained by another program right now" in refused[0].message
    assert run.story().state == "done"


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_low_disk_is_foreseen_before_anything_is_loaded(
    settings: Settings, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    recipe = recipe.with_values({"training.max_steps": 2})
    free = int(share * run_bytes(recipe, model_shape(recipe.model.source, settings), settings))
    usage = shutil.disk_usage(Path(__file__).parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    run = create_run(settings, recipe, "a")
    if share < 1:
        with pytest.raises(DiskError, match=r"This run, with its checkpoints and the result, needs "
                                            r".*, but only .* are free at"):
            train(recipe, run, lambda: False, settings=settings)
    else:
        train(recipe, run, lambda: False, settings=settings)
        assert any("Disk space is tight" in line for line in run.story().log_tail)
    states = [event["state"] for event in run.events() if event["type"] == "state"]
    assert ("loading" in states) == (share > 1)
