"""Four real trainings on this processor, beside what the estimate says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.bench.cpu_cases import CASES, QUICK
from studio.bench.cpu_grid import run_grid
from studio.bench.cpu_models import FAMILIES
from studio.progress import Step
from studio.settings import Settings


def test_every_case_names_a_model_that_can_be_made() -> None:
    assert {case.family for case in (*CASES, *QUICK)} <= {*FAMILIES, "starter"}


@pytest.mark.slow
def test_the_estimate_meets_real_steps_on_this_processor(settings: Settings) -> None:
    steps: list[Step] = []
    table = run_grid(settings, progress=steps.append, quick=True)
    assert len(table.rows) == len(QUICK)
    assert steps[-1].fraction == 1
    for row in table.rows:
        assert abs(row.error_percent) < 20, row
        # The whole of a step was seen: weights are read, tensors made and dropped again.
        assert row.peaks["backward pass of step 2"] > row.peaks["loading the base model"]
    assert table.accuracy().median_ape < 10
    assert not (settings.cache / "cpu-grid").exists()
    assert _files_of(settings) == []
    assert {line["group"] for line in table.to_dict()["groups"]} == set(table.groups)


def _files_of(settings: Settings) -> list[Path]:
    """Nothing of the measuring stays: no run, no model, no calibration of this machine."""
    return [path for path in settings.home.rglob("*") if path.is_file()]
