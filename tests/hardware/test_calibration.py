"""What dry runs taught is kept, corrects every estimate alike, and can be forgotten."""

from __future__ import annotations

import dataclasses
import json

import pytest

from studio.device import Calibration, Device
from studio.hardware.calibration import (
    FILE_NAME,
    HIGHEST,
    KEPT,
    LEAST_TELLING_BYTES,
    PASSING,
    Measurement,
    add_measurement,
    calibrated,
    calibration_sentence,
    passing_bytes,
    reset_calibration,
)
from studio.hardware.memory import checkpointing_needed, estimate
from studio.recipe import Recipe
from studio.settings import Settings
from tests.hardware.shapes import shape_of

GPU = Device("cuda", "NVIDIA RTX 4090", "bfloat16", 24_000_000_000)
OTHER = Device("cuda", "NVIDIA RTX 3060", "bfloat16", 12_000_000_000)
RECIPE = Recipe().with_values({"model.source": "8b", "data.max_length": 2048})


def measured(ratio: float, *, estimated: int = 2_000_000_000, overhead: int | None = 450_000_000,
             time: float = 0.0) -> Measurement:
    """A dry run that found `ratio` times what was estimated."""
    return Measurement("an 8B model", "LoRA", time, estimated, round(ratio * estimated), overhead)


def known(settings: Settings, device: Device = GPU) -> Calibration | None:
    return calibrated(device, settings).calibration


def test_without_a_dry_run_there_is_nothing_to_correct(settings: Settings) -> None:
    assert known(settings) is None
    shape = shape_of("meta-llama/Meta-Llama-3-8B")
    assert estimate(RECIPE, shape, calibrated(GPU, settings)) == estimate(RECIPE, shape, GPU)


def test_the_median_of_the_last_dry_runs_counts(settings: Settings) -> None:
    for number, ratio in enumerate((9.0, 1.0, 1.1, 1.1, 1.3)):
        add_measurement(settings, GPU, measured(ratio, time=float(number)))
    assert known(settings) == Calibration(pytest.approx(1.1), 450_000_000, 5, "an 8B model", 4.0)
    for _ in range(KEPT):
        add_measurement(settings, GPU, measured(1.2, overhead=500_000_000))
    found = known(settings)
    assert found is not None
    assert (found.ratio, found.overhead_bytes) == (pytest.approx(1.2), 500_000_000)
    assert found.dry_runs == KEPT
    assert calibration_sentence(found) == (
        "Calibrated on this PC by 5 dry runs: ×1.20 on what comes and goes in a step, 500.0 MB of "
        "overhead.")


def test_a_ratio_beyond_belief_is_limited_and_a_tiny_run_tells_none(settings: Settings) -> None:
    add_measurement(settings, GPU, measured(40, estimated=LEAST_TELLING_BYTES - 1, overhead=None))
    found = known(settings)
    assert found is not None and found.ratio is None and found.overhead_bytes is None
    assert calibration_sentence(found).endswith("by 1 dry run: nothing to correct.")
    add_measurement(settings, GPU, measured(40))
    found = known(settings)
    assert found is not None and found.ratio == HIGHEST


def test_each_device_has_its_own(settings: Settings) -> None:
    add_measurement(settings, GPU, measured(1.1))
    add_measurement(settings, OTHER, measured(0.9))
    mine, others = known(settings), known(settings, OTHER)
    assert mine is not None and mine.ratio == pytest.approx(1.1)
    assert others is not None and others.ratio == pytest.approx(0.9)
    assert known(settings, dataclasses.replace(GPU, kind="mps")) is None


def test_what_is_counted_exactly_stays_and_the_rest_is_scaled(settings: Settings) -> None:
    shape = shape_of("meta-llama/Meta-Llama-3-8B")
    plain = estimate(RECIPE, shape, GPU)
    add_measurement(settings, GPU, measured(1.5, overhead=700_000_000))
    better = estimate(RECIPE, shape, calibrated(GPU, settings))
    for before, after in zip(plain.parts, better.parts, strict=True):
        if before.name in PASSING:
            assert after.bytes == pytest.approx(1.5 * before.bytes, abs=1), before.name
            assert before.bytes == 0 or "as dry runs on this PC measured" in after.formula
        elif before.name == "overhead":
            assert after.bytes == 700_000_000
        else:
            assert after == before
    assert passing_bytes(better) == pytest.approx(1.5 * passing_bytes(plain), abs=8)
    change = better.total_bytes - plain.total_bytes
    assert better.high_bytes - plain.high_bytes == change
    assert better.low_bytes - plain.low_bytes == change
    assert better.low_bytes <= better.total_bytes <= better.high_bytes
    assert better.allocated_bytes > plain.allocated_bytes


def test_the_choice_of_checkpointing_follows_the_calibration(settings: Settings) -> None:
    shape = shape_of("meta-llama/Meta-Llama-3-8B")
    free = estimate(RECIPE.with_values({"training.gradient_checkpointing": False}), shape,
                    GPU).high_bytes
    assert not checkpointing_needed(RECIPE, shape, GPU, free)
    add_measurement(settings, GPU, measured(1.2))
    device = calibrated(GPU, settings)
    assert checkpointing_needed(RECIPE, shape, device, free)
    assert estimate(RECIPE, shape, device, free_bytes=free).checkpointing


def test_forgetting_leaves_no_file(settings: Settings) -> None:
    assert not reset_calibration(settings)
    add_measurement(settings, GPU, measured(1.1))
    assert [path.name for path in settings.home.iterdir()] == [FILE_NAME]
    assert reset_calibration(settings)
    assert known(settings) is None and list(settings.home.iterdir()) == []


@pytest.mark.parametrize("text", [
    "", "{", "[]", '{"machines": 3}', '{"machines": [{"kind": "cuda"}]}', "\udcff",
    json.dumps({"machines": [{"kind": "cuda", "device": "a", "torch": "1", "studio": "1",
                              "dry_runs": [{}]}]}),
])
def test_a_damaged_file_counts_as_none_and_is_written_anew(settings: Settings, text: str) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / FILE_NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert known(settings) is None
    add_measurement(settings, GPU, measured(1.1))
    found = known(settings)
    assert found is not None and found.dry_runs == 1
