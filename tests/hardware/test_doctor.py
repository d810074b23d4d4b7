"""All checks together: a healthy PC reads as ok, problems come first, no driver breaks them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from studio.hardware import doctor
from studio.hardware.disk import DiskNeeds, DiskPart, Drive
from studio.hardware.library_trial import Trial
from studio.settings import Settings
from tests.hardware.fake_nvml import FUNCTIONS, GPU_IS_LOST, NOT_SUPPORTED, UNKNOWN, Card, FakeNvml
from tests.hardware.pcs import LINUX, MAC, WINDOWS, WSL, pc

GB = 10**9


def needs(free: int, needed: int) -> DiskNeeds:
    part = DiskPart("merged model", needed, "", Path("/exports"))
    return DiskNeeds((part,), (Drive(Path("/exports"), free, needed, ("merged model", "GGUF")),))


def test_a_healthy_pc_gives_only_ok_findings_without_hints(settings: Settings) -> None:
    found = doctor.judge(pc(settings, Card()))
    assert len(found) >= 8
    assert {finding.level for finding in found} == {"ok"}
    assert {finding.hint for finding in found} == {""}


def test_problems_come_first(settings: Settings) -> None:
    levels = [finding.level
              for finding in doctor.judge(pc(settings, Card(capability=(7, 5)), cuda=None))]
    assert levels[:2] == ["problem", "warning"]
    assert levels == sorted(levels, key=["problem", "warning", "ok"].index)


@pytest.mark.parametrize("host", [LINUX, MAC, WINDOWS, WSL], ids=["linux", "mac", "windows", "wsl"])
def test_every_finding_that_is_not_ok_says_what_to_do(settings: Settings, host) -> None:
    poor = pc(settings, Card(capability=(6, 1), total=2 * GB, driver_model=0),
              Card(total=24 * GB, lost=True), cuda="13.0", ram_total_bytes=4 * GB,
              host=replace(host, swap_bytes=0, machine_bytes=4 * GB, long_paths=False),
              trial=Trial(False, "no kernel image", bitsandbytes_error="broken."),
              disk_free_bytes=GB)
    found = doctor.judge(poor)
    assert {"problem", "warning"} <= {finding.level for finding in found}
    assert [finding.what for finding in found if finding.level != "ok" and not finding.hint] == []


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("error", [NOT_SUPPORTED, GPU_IS_LOST, UNKNOWN])
def test_no_single_nvml_function_that_fails_breaks_the_checks(
    settings: Settings, function: str, error: int
) -> None:
    cards = (Card(driver_model=0), Card(slices=[Card(name="slice", total=10**10)]))
    facts = pc(settings, nvml=FakeNvml(*cards, failing={function: error}))
    assert doctor.judge(facts)


def test_several_gpus_a_lost_one_and_mig_slices_do_not_break_the_checks(settings: Settings) -> None:
    cards = (Card(), Card(lost=True), Card(silent={"nvmlDeviceGetMemoryInfo"}),
             Card(slices=[Card(name="slice", total=10**10)]))
    assert doctor.judge(pc(settings, *cards))


@pytest.mark.parametrize(("free", "level"), [
    (10**9, "problem"), (10 * 10**9, "warning"), (10**11, "ok"),
])
def test_too_little_disk_is_said(settings: Settings, free: int, level: str) -> None:
    found = doctor.check_disk(pc(settings, disk_free_bytes=free))
    assert found is not None
    assert found.level == level


@pytest.mark.parametrize(("free", "level"), [
    (9 * GB, "problem"), (11 * GB, "warning"), (20 * GB, "ok"),
])
def test_a_recipes_files_are_compared_with_each_drive(
    settings: Settings, free: int, level: str
) -> None:
    facts = replace(pc(settings, disk_free_bytes=10**9), disk=needs(free, 10 * GB))
    assert doctor.check_disk(facts) is None
    found = [finding for finding in doctor.judge(facts) if "Merged model and GGUF" in finding.what]
    assert [finding.level for finding in found] == [level]
