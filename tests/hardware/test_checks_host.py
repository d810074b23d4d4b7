"""Each check of what surrounds the GPU, on a hand-made PC with one fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from studio.hardware import checks_host as checks
from studio.hardware.finding import Facts
from studio.hardware.host import Host, look_at_host, windows_drive, wsl_version
from studio.hardware.library_trial import Trial
from studio.settings import Settings
from tests.hardware.fake_nvml import Card
from tests.hardware.pcs import LINUX, MAC, WINDOWS, WSL, pc
from tests.hardware.test_checks_gpu import given

GB = 10**9


def with_home(facts: Facts, home: str) -> Facts:
    return replace(facts, settings=Settings(home=Path(home)))


def test_missing_torch_is_a_problem(settings: Settings) -> None:
    given(checks.check_torch(replace(pc(settings), torch=None)), "problem")


def test_an_old_python_is_a_problem(settings: Settings) -> None:
    given(checks.check_python(replace(pc(settings), python=(3, 10))), "problem")


def test_bitsandbytes_missing_or_broken_is_a_warning(settings: Settings) -> None:
    missing = pc(settings, libraries={"torch": "2.13.0"})
    assert "not installed" in given(checks.check_bitsandbytes(missing), "warning")
    broken = pc(settings, trial=Trial(bitsandbytes_error="its native library does not load."))
    assert "does not load" in given(checks.check_bitsandbytes(broken), "warning")


def test_on_a_mac_no_bitsandbytes_is_asked_for(settings: Settings) -> None:
    words = given(checks.check_bitsandbytes(pc(settings, host=MAC, libraries={})), "ok")
    assert "not for Apple GPUs" in words


def test_what_is_optional_is_not_missed(settings: Settings) -> None:
    from studio.hardware.doctor import judge

    assert "flash" not in " ".join(f.what for f in judge(pc(settings, Card()))).lower()


@pytest.mark.parametrize(("total", "free", "level"), [
    (4 * GB, 3 * GB, "warning"), (16 * GB, GB, "warning"), (16 * GB, 9 * GB, "ok"),
])
def test_too_little_memory_is_a_warning(
    settings: Settings, total: int, free: int, level: str
) -> None:
    given(checks.check_ram(pc(settings, ram_total_bytes=total, ram_available_bytes=free)), level)


@pytest.mark.parametrize(("limit", "level"), [(4 * GB, "warning"), (16 * GB, "ok")])
def test_a_containers_limit_is_told(settings: Settings, limit: int, level: str) -> None:
    host = replace(LINUX, in_container=True, container_limit_bytes=limit)
    words = given(checks.check_container_limit(pc(settings, host=host)), level)
    assert "of the machine's 32.0 GB" in words
    assert checks.check_container_limit(pc(settings)) is None


@pytest.mark.parametrize(("host", "hint"), [
    (replace(LINUX, swap_bytes=0, machine_bytes=16 * GB), "swap file"),
    (replace(WINDOWS, swap_bytes=GB, machine_bytes=16 * GB), "Virtual memory"),
    (replace(WSL, swap_bytes=0, machine_bytes=8 * GB), ".wslconfig"),
])
def test_little_swap_is_a_warning_on_a_pc_of_little_memory(
    settings: Settings, host: Host, hint: str
) -> None:
    assert hint in given(checks.check_swap(pc(settings, host=host)), "warning")


@pytest.mark.parametrize("host", [
    LINUX, MAC, replace(LINUX, swap_bytes=0, machine_bytes=64 * GB),
    replace(LINUX, swap_bytes=0, machine_bytes=8 * GB, in_container=True),
])
def test_swap_is_not_missed_where_it_is_there_or_not_needed(settings: Settings, host: Host) -> None:
    assert checks.check_swap(pc(settings, host=host)) is None


def test_wsl_is_told_how_much_memory_windows_lends_it(settings: Settings) -> None:
    words = given(checks.check_wsl(pc(settings, Card(), host=WSL)), "ok")
    assert "32.0 GB" in words and ".wslconfig" in words
    small = replace(WSL, machine_bytes=8 * GB)
    given(checks.check_wsl(pc(settings, Card(), host=small)), "warning")
    assert "driver in Windows" in given(checks.check_wsl(pc(settings, host=WSL)), "ok")
    given(checks.check_wsl(pc(settings, host=replace(WSL, wsl=1))), "warning")
    assert checks.check_wsl(pc(settings)) is None


def test_a_home_on_windows_drive_is_slow_inside_wsl(settings: Settings) -> None:
    facts = with_home(pc(settings, host=WSL), "/mnt/c/Users/me/AdapterStudio")
    assert "drive C:" in given(checks.check_windows_drive(facts), "warning")
    assert checks.check_windows_drive(pc(settings, host=WSL)) is None
    linux = with_home(pc(settings), "/mnt/c/Users/me/AdapterStudio")
    assert checks.check_windows_drive(linux) is None


def test_long_paths_that_are_off_are_told(settings: Settings) -> None:
    short = replace(WINDOWS, long_paths=False)
    facts = with_home(pc(settings, host=short), "C:/Studio")
    assert "LongPathsEnabled" in given(checks.check_long_paths(facts), "ok")
    given(checks.check_long_paths(with_home(facts, "C:/" + "x" * 120)), "warning")
    for host in (WINDOWS, LINUX):
        assert checks.check_long_paths(pc(settings, host=host)) is None


def test_a_home_that_is_synchronised_is_a_warning(settings: Settings) -> None:
    facts = with_home(pc(settings, host=WINDOWS), "/Users/me/OneDrive - Work/AdapterStudio")
    assert "OneDrive - Work" in given(checks.check_synchronised_home(facts), "warning")
    assert checks.check_synchronised_home(pc(settings)) is None


def test_a_home_that_is_a_file_cannot_be_written_to(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    given(checks.check_home(replace(pc(settings), settings=Settings(home=file))), "problem")


def test_a_home_that_does_not_exist_yet_is_fine_and_is_not_made(settings: Settings) -> None:
    given(checks.check_home(pc(settings)), "ok")
    assert not settings.home.exists()


def test_offline_is_mentioned(settings: Settings) -> None:
    online = pc(settings)
    assert checks.check_network(replace(online, settings=settings)) is not None
    assert checks.check_network(online) is None


@pytest.mark.parametrize(("kernel", "version"), [
    ("Linux version 5.15.153.1-microsoft-standard-WSL2 (root@941d701f84f1)", 2),
    ("Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com)", 1),
    ("Linux version 6.8.0-45-generic (buildd@lcy02)", None), ("", None),
])
def test_wsl_is_known_by_its_kernel(kernel: str, version: int | None) -> None:
    assert wsl_version(kernel) == version


@pytest.mark.parametrize(("path", "drive"), [
    ("/mnt/c/Users", "C"), ("/mnt/d", "D"), ("/mnt/data/x", None), ("/home/me", None),
])
def test_windows_drives_are_known_by_their_place(path: str, drive: str | None) -> None:
    assert windows_drive(Path(path)) == drive


def test_this_pc_can_be_looked_at() -> None:
    host = look_at_host()
    assert host.machine_bytes > 0
    assert host.swap_bytes >= 0
