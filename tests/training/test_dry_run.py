"""Dry runs for real, each in its own process: what is measured, what is left, how they end."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.child import Child
from studio.device import pick_device
from studio.errors import RunError, Stopped
from studio.hardware.calibration import PASSING, calibrated
from studio.presets import starter_recipe
from studio.progress import Step
from studio.recipe import Recipe, save_recipe
from studio.runs import Run, list_runs
from studio.settings import Settings
from studio.training.dry_run import dry_run, outcome_of
from studio.training.dry_run_process import STEPS, main, tokens_of, total_steps
from tests.training.conftest import MakeRecipe
from tests.training.greedy import ALLOCATES, BREAKS, make_greedy_model
from tests.training.measured import GB, on_gpu


def _files(settings: Settings) -> list[str]:
    """All files but the tokens of the data, which the run will use as well."""
    return sorted(str(file.relative_to(settings.home)) for file in settings.home.rglob("*")
                  if file.is_file() and not file.is_relative_to(settings.cache))


@pytest.fixture(autouse=True)
def modules_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers copies a model's own code before it runs: here, and in the child."""
    from transformers import dynamic_module_utils

    copies = str(tmp_path / "modules")
    monkeypatch.setenv("HF_MODULES_CACHE", copies)
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", copies)
    monkeypatch.syspath_prepend(copies)


def _greedy(make_recipe: MakeRecipe, tiny_model: Path, folder: Path, act: str) -> Recipe:
    model = make_greedy_model(tiny_model, folder, act)
    return make_recipe(model__source=str(model), model__trust_remote_code=True)


def test_two_steps_are_measured_on_the_longest_examples_and_nothing_is_left(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=0, training__batch_size=5,
                         training__gradient_accumulation=4, training__epochs=2.0)
    steps: list[Step] = []
    found = dry_run(recipe, settings, progress=steps.append)
    assert found.ran_out is None
    assert found.measured_bytes and found.measured_bytes > 200_000_000  # torch alone takes more
    assert found.batch == 5 and found.longest_tokens and found.tokens
    assert found.longest_tokens < found.tokens <= 5 * found.longest_tokens
    # 24 examples in micro-batches of 5 are 5 of them, so two optimizer steps an epoch.
    assert found.total_steps == 4
    by_name = {part.name: part for part in found.parts}
    for name in ("weights", "adapter", "gradients", "optimizer"):
        assert by_name[name].measured_bytes == pytest.approx(by_name[name].estimated_bytes,
                                                             rel=0.02), name
    assert sum(part.estimated_bytes for part in found.parts) == found.estimated.total_bytes
    names = [phase.name for phase in found.phases]
    assert names[:3] == ["preparing the data", "loading the base model", "adding the adapter"]
    assert names.count("forward pass of step 2") == 2  # gradients wait for a second micro-batch
    assert f"optimizer step of step {STEPS}" in names
    assert found.seconds_per_step and found.seconds_about and found.seconds_at_most
    assert found.seconds_about <= found.seconds_at_most
    assert steps[-1].total == 3 + STEPS * (2 * 2 + 2)  # how many were seen is a matter of time
    json.dumps(found.to_dict(), allow_nan=False)
    assert _files(settings) == ["calibration.json"]
    assert list_runs(settings) == []
    calibration = calibrated(pick_device(), settings).calibration
    assert calibration is not None and calibration.dry_runs == 1
    assert calibration.ratio is None  # so small a step tells nothing
    assert calibration.overhead_bytes and calibration.overhead_bytes > 100_000_000


def test_the_starter_model_measures_what_is_estimated(
    starter_home: Path, settings: Settings, starter_model: Path
) -> None:
    recipe = starter_recipe().with_values({
        "model.source": str(starter_model), "model.dtype": "float32", "training.batch_size": 2,
        "data.packing": True, "data.max_length": 192})
    found = dry_run(recipe, settings)
    assert found.ran_out is None and found.measured_bytes is not None
    assert found.batch == 2 and found.longest_tokens == 192  # a row that packing filled
    assert found.tokens == pytest.approx(2 * 192, abs=8)
    weights = found.measured_of("weights")
    assert weights == pytest.approx(found.estimated.parts[0].bytes, rel=0.001)
    assert found.measured_bytes == pytest.approx(found.estimated.total_bytes, rel=0.35)
    assert found.measured_passing_bytes and found.estimated_passing_bytes
    calibration = calibrated(pick_device(), settings).calibration
    assert calibration is not None and calibration.ratio == pytest.approx(
        found.measured_passing_bytes / found.estimated_passing_bytes)
    assert _files(settings) == ["calibration.json"]


def test_memory_that_runs_out_is_a_result_that_says_where(
    settings: Settings, make_recipe: MakeRecipe, tiny_model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = _greedy(make_recipe, tiny_model, tmp_path / "greedy", ALLOCATES)
    (tmp_path / "run").mkdir()
    _, outcome = _measured_here(recipe, settings, tmp_path / "run")
    files = _files(settings)
    # What the child would have left; that a child does leave it, the tests above show.
    monkeypatch.setattr("studio.training.dry_run._measured", lambda *_: outcome)
    found = dry_run(recipe, settings)
    assert found.ran_out == "backward pass of step 1"
    assert found.sentence == "Ran out of memory at: backward pass of step 1."
    assert found.measured_bytes is None and found.seconds_per_step is None
    assert found.estimated.total_bytes == sum(part.estimated_bytes for part in found.parts)
    assert _files(settings) == files  # not even a calibration


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends no program for its memory")
def test_a_process_that_the_system_ended_ran_out_of_memory_too(tmp_path: Path) -> None:
    run, outcome = Run(tmp_path), tmp_path / "outcome.json"
    run.append("phase", name="forward pass of step 1")
    with Child(["-c", "import os; os.kill(os.getpid(), 9)"], cwd=tmp_path) as child:
        while not child.has_ended():
            pass
    assert outcome_of(run, outcome, child)["ran_out"] == (
        "forward pass of step 1 (the system ended the process)")
    with Child(["-c", "raise SystemExit('no screws left')"], cwd=tmp_path) as child:
        while not child.has_ended():
            pass
    with pytest.raises(RunError, match="broke off: no screws left"):
        outcome_of(run, outcome, child)


def _measured_here(recipe: Recipe, settings: Settings, folder: Path) -> tuple[Run, dict[str, Any]]:
    """What the child would leave, made in this process, which has the libraries already."""
    request = {"home": str(settings.home), "offline": True, "run": str(folder),
               "outcome": str(folder / "outcome.json"), "parent": os.getpid()}
    save_recipe(recipe, folder / "recipe.yaml")
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    main(folder / "request.json")
    outcome: dict[str, Any] = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    return Run(folder), outcome


def test_what_would_break_a_training_is_said_in_a_sentence(
    settings: Settings, make_recipe: MakeRecipe, tiny_model: Path, tmp_path: Path
) -> None:
    for number, (recipe, words) in enumerate([
        (_greedy(make_recipe, tiny_model, tmp_path / "broken", BREAKS), "a screw fell out"),
        (make_recipe(data__source="nowhere.jsonl"), "nowhere.jsonl"),
        (make_recipe(adapter__targets=["no_such_layer"]), "no_such_layer"),
    ]):
        folder = tmp_path / str(number)
        folder.mkdir()
        run, outcome = _measured_here(recipe, settings, folder)
        assert outcome["ran_out"] is None and words in outcome["error"][0]
        with Child(["-c", ""], cwd=tmp_path) as child, pytest.raises(RunError) as said:
            outcome_of(run, folder / "outcome.json", child)
        assert words in said.value.message
        assert "in the same way" in said.value.hint or words != "a screw fell out"


def test_it_stops_when_asked_to(settings: Settings, make_recipe: MakeRecipe) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Stopped):
        dry_run(make_recipe(), settings, stop=stop)
    assert _files(settings) == []


def test_padding_counts_as_tokens_and_steps_are_counted_as_the_trainer_does() -> None:
    assert tokens_of([3, 5, 4], joined=True) == 12
    assert tokens_of([3, 5, 4], joined=False) == 15
    training = {"training.batch_size": 4, "training.gradient_accumulation": 2}
    recipe = Recipe().with_values({**training, "training.epochs": 1.5})
    assert total_steps(recipe, 17) == 5  # 5 micro-batches are 3 steps, one and a half times
    assert total_steps(recipe.with_values({"training.max_steps": 7}), 17) == 7


def test_on_a_gpu_reserved_memory_and_the_context_make_the_whole() -> None:
    found = on_gpu(round(0.45 * GB))
    assert found.measured_bytes == round(20.45 * GB)
    assert sum(part.measured_bytes or 0 for part in found.parts) == found.measured_bytes
    assert found.measured_of("weights") == 16 * GB  # what the counters say, not the modules
    assert found.measured_of("slack") == GB
    assert found.measured_of("overhead") == round(0.45 * GB)
    assert found.measured_passing_bytes is not None
    assert found.seconds_per_step == 3 and found.seconds_at_most == 300
    assert found.seconds_about == 200  # half the tokens of the longest, and the optimizer


def test_loading_that_held_more_than_the_steps_is_said() -> None:
    found = on_gpu(0)
    assert found.sentence_before_steps == ""
    loading = dataclasses.replace(found.phases[1], reserved_bytes=22 * GB)
    greedy = dataclasses.replace(found, phases=(found.phases[0], loading, *found.phases[2:]))
    assert greedy.sentence_before_steps == (
        "Loading the base model held 22.0 GB for a moment, more than the steps.")


def test_without_nvml_the_context_is_the_estimates() -> None:
    found = on_gpu(None)
    overhead = next(part for part in found.parts if part.name == "overhead")
    assert overhead.measured_bytes is None
    assert found.measured_bytes == 20 * GB + overhead.estimated_bytes


def test_every_part_of_the_estimate_has_a_place() -> None:
    found = on_gpu(0)
    names = {name for part in found.parts for name in part.name.split(", ")}
    assert names == {part.name for part in found.estimated.parts}
    assert set(PASSING) < names
