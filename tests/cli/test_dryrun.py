"""`dryrun` on the command line without measuring: what it refuses, forgets, and shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.cli import dryrun, main
from studio.device import pick_device
from studio.hardware.calibration import Measurement, add_measurement
from studio.settings import Settings
from tests.training.measured import on_gpu

MEASURED = Measurement("a model", "LoRA", 0.0, 10**9, 1_070_000_000, 640_000_000)


def test_without_a_recipe_it_says_what_to_name(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["dryrun", "--home", str(settings.home)]) == 1
    assert "Name a recipe file, or 'starter'." in capfd.readouterr().err


def test_the_estimate_is_calibrated_until_it_is_forgotten(
    settings: Settings, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def found(*arguments: str) -> dict[str, object]:
        assert main([*arguments, "--json", "--home", str(settings.home)]) == 0
        result: dict[str, object] = json.loads(capfd.readouterr().out)
        return result

    estimate = ("estimate", "starter", "--set", f"model.source={tiny_model}")
    before = found(*estimate)
    assert before["calibration"] is None
    add_measurement(settings, pick_device(), MEASURED)
    after = found(*estimate)
    assert after["total_bytes"] != before["total_bytes"]
    assert "1 dry run: ×1.07" in str(after["calibration"])
    assert main([*estimate, "--home", str(settings.home)]) == 0
    assert "Calibrated on this PC by 1 dry run" in capfd.readouterr().out
    assert found("dryrun", "--reset-calibration") == {"was_reset": True}
    assert found("dryrun", "--reset-calibration") == {"was_reset": False}
    assert found(*estimate)["total_bytes"] == before["total_bytes"]


@pytest.mark.parametrize("ran_out", [None, "backward pass of step 1"])
def test_what_was_measured_is_a_table(
    ran_out: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    dryrun._show({**on_gpu(10**9, ran_out).to_dict(), "calibration": None})
    shown = capfd.readouterr().out
    assert "Memory on NVIDIA RTX 4090" in shown and "overhead" in shown
    assert ("Ran out of memory at: backward pass of step 1." in shown) == (ran_out is not None)
    assert ("100 steps: about 3 min 20 s, at most 5 min 00 s" in shown) == (ran_out is None)
