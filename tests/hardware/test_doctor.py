"""Each check on hand-made facts: what it says is wrong, and that an all-good PC reads as ok."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from studio.hardware import doctor
from studio.hardware.doctor import Facts, Finding
from studio.hardware.installed import TorchBuild
from studio.hardware.probe import Hardware, probe
from studio.settings import Settings
from tests.hardware.fake_nvml import Card, FakeNvml


def facts_of(settings: Settings, library: FakeNvml, cuda: str | None = "13.0") -> Facts:
    """A PC without a fault but those of `library`."""
    hardware = replace(
        probe(settings.home, nvml_library=library), ram_total_bytes=32 * 10**9,
        ram_available_bytes=20 * 10**9, disk_free_bytes=200 * 10**9,
    )
    return Facts(replace(settings, offline=False), hardware, TorchBuild("2.13.0", cuda), None,
                 (3, 12))


@pytest.fixture
def healthy(settings: Settings) -> Facts:
    return facts_of(settings, FakeNvml(Card()))


def with_hardware(facts: Facts, **changes: object) -> Facts:
    hardware: Hardware = replace(facts.hardware, **changes)  # type: ignore[arg-type]
    return replace(facts, hardware=hardware)


def test_a_healthy_pc_gives_only_ok_findings_without_hints(healthy: Facts) -> None:
    found = doctor.judge(healthy)
    assert len(found) >= 8
    assert {finding.level for finding in found} == {"ok"}
    assert {finding.hint for finding in found} == {""}


def test_a_gpu_with_a_torch_without_cuda_is_a_problem(settings: Settings) -> None:
    found = doctor.check_torch(facts_of(settings, FakeNvml(Card()), cuda=None))
    assert found.level == "problem"
    assert "built without CUDA" in found.what
    assert found.hint


def test_a_torch_without_cuda_is_fine_where_there_is_no_gpu(settings: Settings) -> None:
    assert doctor.check_torch(facts_of(settings, FakeNvml(init_error=12), cuda=None)).level == "ok"


def test_missing_torch_is_a_problem(healthy: Facts) -> None:
    assert doctor.check_torch(replace(healthy, torch=None)).level == "problem"


@pytest.mark.parametrize(("driver", "torch", "level"), [
    (12040, "13.0", "problem"), (13000, "13.0", "ok"), (12040, "12.8", "ok"), (13010, "12.6", "ok"),
])
def test_a_driver_older_than_the_runtime_is_a_problem(
    settings: Settings, driver: int, torch: str, level: str
) -> None:
    found = doctor.check_driver(facts_of(settings, FakeNvml(Card(), cuda=driver), cuda=torch))
    assert found is not None
    assert found.level == level


def test_a_driver_that_does_not_answer_is_a_warning(settings: Settings) -> None:
    found = doctor.check_driver_answers(facts_of(settings, FakeNvml(init_error=999)))
    assert found is not None
    assert found.level == "warning"


@pytest.mark.parametrize(("card", "level"), [
    (Card(), "ok"), (Card(capability=(3, 7)), "problem"), (Card(total=2 * 10**9), "warning"),
])
def test_a_card_too_old_or_too_small_is_said(settings: Settings, card: Card, level: str) -> None:
    assert doctor.check_gpu(facts_of(settings, FakeNvml(card))).level == level


def test_a_card_without_bfloat16_is_a_warning(settings: Settings) -> None:
    found = doctor.check_bfloat16(facts_of(settings, FakeNvml(Card(capability=(7, 5)))))
    assert found is not None
    assert "no bfloat16" in found.what
    assert doctor.check_bfloat16(facts_of(settings, FakeNvml(Card()))) is None


def test_bitsandbytes_missing_or_broken_is_a_warning(healthy: Facts) -> None:
    missing = with_hardware(healthy, libraries={"torch": "2.13.0"})
    assert "not installed" in doctor.check_bitsandbytes(missing).what
    broken = replace(healthy, bitsandbytes_error="its native library does not load.")
    assert "does not load" in doctor.check_bitsandbytes(broken).what
    assert doctor.check_bitsandbytes(broken).level == "warning"


def test_what_is_not_installed_is_not_tried(healthy: Facts) -> None:
    assert doctor.try_bitsandbytes(replace(healthy.hardware, libraries={})) is None


@pytest.mark.parametrize(("total", "free", "level"), [
    (4 * 10**9, 3 * 10**9, "warning"), (16 * 10**9, 10**9, "warning"),
    (16 * 10**9, 9 * 10**9, "ok"),
])
def test_too_little_memory_is_a_warning(
    healthy: Facts, total: int, free: int, level: str
) -> None:
    facts = with_hardware(healthy, ram_total_bytes=total, ram_available_bytes=free)
    assert doctor.check_ram(facts).level == level


@pytest.mark.parametrize(("free", "level"), [
    (10**9, "problem"), (10 * 10**9, "warning"), (10**11, "ok"),
])
def test_too_little_disk_is_said(healthy: Facts, free: int, level: str) -> None:
    assert doctor.check_disk(with_hardware(healthy, disk_free_bytes=free)).level == level


def test_a_home_that_is_a_file_cannot_be_written_to(healthy: Facts, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    found = doctor.check_home(replace(healthy, settings=Settings(home=file)))
    assert found.level == "problem"
    assert found.hint


def test_a_home_that_does_not_exist_yet_is_fine_and_is_not_made(
    healthy: Facts, settings: Settings
) -> None:
    assert doctor.check_home(healthy).level == "ok"
    assert not settings.home.exists()


def test_an_old_python_is_a_problem(healthy: Facts) -> None:
    assert doctor.check_python(replace(healthy, python=(3, 10))).level == "problem"


def test_offline_is_mentioned(settings: Settings, healthy: Facts) -> None:
    assert doctor.check_network(replace(healthy, settings=settings)) is not None
    assert doctor.check_network(healthy) is None


def test_problems_come_first(settings: Settings) -> None:
    facts = facts_of(settings, FakeNvml(Card(capability=(7, 5))), cuda=None)
    levels = [finding.level for finding in doctor.judge(facts)]
    assert levels[:2] == ["problem", "warning"]
    assert levels == sorted(levels, key=["problem", "warning", "ok"].index)


def test_several_gpus_a_lost_one_and_mig_slices_do_not_break_the_checks(settings: Settings) -> None:
    cards = (Card(), Card(lost=True), Card(silent={"nvmlDeviceGetMemoryInfo"}),
             Card(slices=[Card(name="slice", total=10**10)]))
    assert doctor.judge(facts_of(settings, FakeNvml(*cards)))


def test_this_pc_can_be_diagnosed_and_each_finding_is_plain_data(settings: Settings) -> None:
    found = doctor.diagnose(settings)
    assert found
    assert all(set(finding.to_dict()) == {"level", "what", "hint"} for finding in found)
    assert isinstance(found[0], Finding)
