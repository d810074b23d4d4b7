"""A dry run: two real steps of a recipe on the longest of the person's own data, measured.

Runs in a process of its own (`dry_run_process.py`), which frees everything for sure and survives
nothing: memory that runs out ends it alone. Leaves no run and no adapter, only this machine's
calibration. Whoever calls holds the device.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.adapters.kinds import kind_of
from studio.child import Child, studio_module
from studio.device import Device, pick_device
from studio.errors import RunError, Stopped
from studio.files import PARTIAL, remove_leftovers, write_json_safely
from studio.hardware.calibration import Measurement, add_measurement
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Recipe, save_recipe
from studio.recipe.method_words import method_words
from studio.runs import RECIPE_FILE, Run
from studio.settings import Settings
from studio.training.dry_run_process import MOST_MICRO_BATCHES, STEPS
from studio.training.dry_run_result import DryRun, dry_run_of
from studio.training.failure import TRACEBACK_FILE
from studio.training.phases import PHASE


def dry_run(
    recipe: Recipe, settings: Settings, *, progress: Progress = silent, stop: ShouldStop = never,
    calibrate: bool = True,
) -> DryRun:
    """Measure two steps of `recipe` beside its estimate; `calibrate` keeps the ratio.

    Memory that runs out is a result (`ran_out`). Raises StudioError for what a training would
    stumble over too, and Stopped.
    """
    from studio.models.shape import model_shape
    from studio.models.source import find_model

    model, device = recipe.model, pick_device()
    # Here, not in the child: fetching has its own progress and is safe to stop.
    find_model(model.source, settings, revision=model.revision,
               trust_remote_code=model.trust_remote_code, progress=progress, stop=stop)
    outcome = _measured(recipe, settings, progress, stop)
    shape = model_shape(model.source, settings, revision=model.revision,
                        trust_remote_code=model.trust_remote_code)
    result = dry_run_of(outcome, recipe, shape, device)
    if calibrate and result.ran_out is None:
        _calibrate(settings, device, shape.name, recipe, result)
    return result


def _measured(
    recipe: Recipe, settings: Settings, progress: Progress, stop: ShouldStop
) -> dict[str, Any]:
    """What the child found out."""
    with _temporary_run(settings, recipe) as run:
        request, outcome = run.path / "request.json", run.path / "outcome.json"
        write_json_safely(request, {
            "home": str(settings.home), "offline": settings.offline, "run": str(run.path),
            "outcome": str(outcome), "parent": os.getpid()})
        arguments = studio_module("studio.training.dry_run_process", str(request))
        # In this folder, since a recipe may name its files from here.
        with Child(arguments, cwd=Path.cwd()) as child:
            while not child.has_ended():
                if stop():
                    raise Stopped("The dry run was stopped.")
                progress(_how_far(run, recipe))
        return outcome_of(run, outcome, child)


def outcome_of(run: Run, outcome: Path, child: Child) -> dict[str, Any]:
    """What a child that has ended left in the file `outcome`, or what its end says.

    Raises RunError where it says that training would not work either.
    """
    if outcome.is_file():
        return _without_error(json.loads(outcome.read_text(encoding="utf-8")), run)
    if child.was_killed:
        where = f"{_last_phase(run)} (the system ended the process)"
        return {"ran_out": where, "facts": {}, "phases": [], "outside_bytes": None}
    raise RunError(f"The dry run's process broke off: {child.last_words}",
                   "A training would break in the same way; see what else runs on this PC.")


@contextmanager
def _temporary_run(settings: Settings, recipe: Recipe) -> Iterator[Run]:
    """A run folder outside the list of runs, gone after the block."""
    remove_leftovers(settings.cache)
    folder = settings.cache / f"{PARTIAL}dry-run-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        save_recipe(recipe, folder / RECIPE_FILE)
        yield Run(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _without_error(outcome: dict[str, Any], run: Run) -> dict[str, Any]:
    if outcome["error"] is None:
        return outcome
    message, hint = outcome["error"]
    if (run.path / TRACEBACK_FILE).exists():
        # The hint names a file that is about to go.
        hint = "A training would break in the same way: start it, and its folder keeps the details."
    raise RunError(message, hint)


def _how_far(run: Run, recipe: Recipe) -> Step:
    """The phase at work, what it says of itself, and how many are done of at most how many."""
    phase, events = _last_phase(run), run.events()
    done = max(0, sum(event["type"] == PHASE for event in events) - 1)
    micro_batches = min(MOST_MICRO_BATCHES, recipe.training.gradient_accumulation)
    total = 3 + STEPS * (2 * micro_batches + 2)
    what = phase.capitalize()
    if phase == "preparing the data":
        details = [event["detail"] for event in events if event["type"] == "state"]
        what = next(filter(None, reversed(details)), what)
    return Step(what, min(done, total), total, "stages")


def _last_phase(run: Run) -> str:
    phases = [event["name"] for event in run.events() if event["type"] == PHASE and event["name"]]
    return phases[-1] if phases else "starting"


def _calibrate(
    settings: Settings, device: Device, model: str, recipe: Recipe, result: DryRun
) -> None:
    if result.measured_passing_bytes is None:
        return
    add_measurement(settings, device, Measurement(
        model=model, method=_method(recipe), time=time.time(),
        estimated_passing=result.estimated_passing_bytes,
        measured_passing=result.measured_passing_bytes,
        measured_overhead=result.measured_of("overhead")))


def _method(recipe: Recipe) -> str:
    """"LoRA on 4bit", "every weight", "DPO with LoRA"."""
    kind, held = kind_of(recipe.adapter.method), recipe.model.quantization
    trained = "every weight" if recipe.adapter.trains_base else kind.label
    method = recipe.training.method
    before = "" if method == "sft" else f"{method_words(method).short} with "
    return before + (trained if held == "none" else f"{trained} on {held}")
