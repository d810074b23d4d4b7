"""What a checkpoint holds, which ones stay, and which one a resume trusts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.errors import RunError
from studio.files import file_sha256
from studio.recipe import Recipe, load_recipe
from studio.runs import COMPLETE, Run, create_run
from studio.settings import Settings
from studio.training.checkpoints import (
    checkpoint_fault,
    checkpoint_written_whole,
    keep_checkpoint,
    newest_good_checkpoint,
    tidy_checkpoints,
)
from studio.training.loop import train
from tests.training.conftest import MakeRecipe

QUIET = {"monitor__forgetting": False, "monitor__sample_records": 0}


@pytest.fixture
def run(settings: Settings) -> Run:
    return create_run(settings, Recipe(), "a")


def _write(run: Run, step: int) -> Path:
    with checkpoint_written_whole(run, step, run.recipe) as beside:
        inner = beside / f"checkpoint-{step}"
        inner.mkdir()
        (inner / "weights.bin").write_bytes(b"weights %d" % step)
    return run.checkpoint_path / f"checkpoint-{step}"


def _steps(run: Run) -> list[str]:
    return sorted(path.name for path in run.checkpoint_path.iterdir())


def test_a_checkpoint_has_the_recipe_and_a_digest_of_every_file(run: Run) -> None:
    path = _write(run, 3)
    mark = json.loads((path / COMPLETE).read_text(encoding="utf-8"))
    assert mark["step"] == 3 and set(mark["files"]) == {"recipe.yaml", "weights.bin"}
    assert mark["sha256"]["weights.bin"] == file_sha256(path / "weights.bin")
    assert load_recipe(path / "recipe.yaml") == run.recipe
    assert run.checkpoints() == [path] and checkpoint_fault(path) == ""


def test_a_checkpoint_that_cannot_be_written_leaves_nothing_and_the_others_alone(run: Run) -> None:
    first = _write(run, 1)
    with (pytest.raises(OSError, match="the disk fell out"),
          checkpoint_written_whole(run, 2, run.recipe) as beside):
        (beside / "checkpoint-2").mkdir()
        raise OSError("the disk fell out")
    assert _steps(run) == [first.name]


def test_the_oldest_go_but_never_the_newest_nor_the_best(run: Run) -> None:
    for step in range(1, 7):
        run.append("eval", step=step, epoch=0.0, loss=abs(step - 2) + 1.0)
        _write(run, step)
        keep_checkpoint(run, step, save_total_limit=1)
    assert _steps(run) == ["checkpoint-2", "checkpoint-6"]


@pytest.mark.parametrize(("name", "content", "fault"), [
    ("weights.bin", b"weights 8", "the bytes of weights.bin have changed"),
    ("weights.bin", b"weights 10", "weights.bin has 10 bytes instead of 9"),
    ("weights.bin", None, "weights.bin is missing"),
    (COMPLETE, None, "complete.json is missing or unreadable"),
    (COMPLETE, b"{", "complete.json is missing or unreadable"),
    ("recipe.yaml", None, "recipe.yaml is missing"),
])
def test_damage_is_named_and_the_one_before_is_taken(
    run: Run, name: str, content: bytes | None, fault: str
) -> None:
    first, second = _write(run, 5), _write(run, 9)
    if content is None:
        (second / name).unlink()
    else:
        (second / name).write_bytes(content)
    assert newest_good_checkpoint(run) == (
        first, [f"The checkpoint at step 9 is damaged ({fault})."])


def test_checkpoints_of_earlier_versions_have_no_digests_and_count(run: Run) -> None:
    path = _write(run, 5)
    mark = json.loads((path / COMPLETE).read_text(encoding="utf-8"))
    del mark["sha256"]
    (path / COMPLETE).write_text(json.dumps(mark), encoding="utf-8")
    assert newest_good_checkpoint(run) == (path, [])


def test_what_a_killed_program_was_writing_is_cleared_away(run: Run) -> None:
    good = _write(run, 2)
    (run.checkpoint_path / ".partial-checkpoint-4-0a").mkdir()
    (run.path / ".partial-adapter-0b").mkdir()
    (run.path / ".partial-environment.json-0d").write_text("{", encoding="utf-8")
    others = run.path / ".partial-about.json-0c"  # another program may be writing this one
    others.write_text("{", encoding="utf-8")
    (run.checkpoint_path / "checkpoint-4").mkdir()
    tidy_checkpoints(run, 2)
    assert _steps(run) == [good.name] and others.exists()
    assert [path.name for path in run.path.glob(".partial-*")] == [others.name]


def test_a_checkpoint_of_a_real_run_holds_all_that_going_on_needs(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=2, **QUIET)
    run = create_run(settings, recipe, "real")
    train(recipe, run, lambda: False, settings=settings)
    [path] = run.checkpoints()
    assert {"adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth",
            "trainer_state.json", "sums.json", "recipe.yaml", COMPLETE} <= {
        file.name for file in path.iterdir()}
    assert load_recipe(path / "recipe.yaml") == recipe


def _losses(run: Run) -> list[tuple[int, float, int]]:
    return [(point.step, point.loss, point.tokens) for point in run.story().points]


def test_a_stop_in_the_midst_of_a_step_changes_no_later_loss(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=6, adapter__dropout=0.2,
                         training__gradient_accumulation=3, **QUIET)
    whole = create_run(settings, recipe, "whole")
    train(recipe, whole, lambda: False, settings=settings)
    parts = create_run(settings, recipe, "parts")
    asked = 0

    def stop() -> bool:
        """Between two micro-batches, in the second step after the training has begun."""
        nonlocal asked
        asked += parts.story().state == "training"
        return asked >= 5

    assert train(recipe, parts, stop, settings=settings) == "stopped"
    assert train(recipe, parts, lambda: False, settings=settings, resume=True) == "done"
    assert _losses(parts) == _losses(whole)


def test_a_point_of_the_plot_over_several_steps_is_the_same_where_the_run_broke_off_in_it(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=8, training__logging_steps=4, training__save_steps=6,
                         **QUIET)
    whole = create_run(settings, recipe, "whole")
    train(recipe, whole, lambda: False, settings=settings)
    parts = create_run(settings, recipe, "parts")

    def break_off() -> bool:
        if (parts.checkpoint_path / "checkpoint-6").exists():
            raise RuntimeError("the fan fell off")
        return False

    with pytest.raises(RunError, match="the fan fell off"):
        train(recipe, parts, break_off, settings=settings)
    assert train(recipe, parts, lambda: False, settings=settings, resume=True) == "done"
    assert _losses(parts) == _losses(whole)


def test_a_run_that_lost_its_result_makes_it_again_without_training(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    import shutil

    # 9 steps are one and a half epochs, where transformers would go on with the tenth.
    recipe = make_recipe(training__max_steps=9, adapter__dropout=0.2, **QUIET)
    run = create_run(settings, recipe, "a")
    train(recipe, run, lambda: False, settings=settings)
    weights = run.adapter_path / "adapter_model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(RunError, match="is finished"):
        train(recipe, run, lambda: False, settings=settings, resume=True)
    shutil.rmtree(run.adapter_path)
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    assert weights.read_bytes() == before
    assert [point.step for point in run.story().points] == [*range(1, 10)]
