"""Which driver runs which CUDA, and which card finds kernels in which build."""

from __future__ import annotations

import pytest

from studio.hardware.cuda_support import (
    ARCHITECTURES,
    FIRST_DRIVER,
    TOOLKIT_DRIVER,
    build_for,
    driver_fits,
    has_kernels,
    lowest_capability,
    oldest_driver,
    version_numbers,
    wheel_architectures,
)


@pytest.mark.parametrize(("driver", "cuda", "on_windows", "expected"), [
    ("580.65.06", (13, 0), False, "fits"), ("580.65.05", (13, 0), False, "too old"),
    ("580.65.06", (13, 2), False, "limited"), ("595.45.04", (13, 2), False, "fits"),
    ("579.99", (13, 0), True, "too old"), ("580.88", (13, 2), True, "fits"),
    ("525.60.13", (12, 6), False, "limited"), ("525.60.12", (12, 6), False, "too old"),
    ("560.76", (12, 6), True, "fits"), ("528.33", (12, 6), True, "limited"),
    ("527.41", (12, 6), True, "too old"), ("610.43.02", (12, 6), False, "fits"),
    ("580.65.06", (14, 0), False, "fits"), ("450.80.02", (11, 8), False, "fits"),
])
def test_a_runtime_runs_on_drivers_of_its_major_version_and_later(
    driver: str, cuda: tuple[int, int], on_windows: bool, expected: str
) -> None:
    assert driver_fits(driver, cuda, on_windows=on_windows) == expected


def test_every_major_version_that_torch_is_built_for_has_its_oldest_driver() -> None:
    from studio.bootstrap.torch_check import CUDA_BUILDS

    for build in CUDA_BUILDS:
        major = int(build.name.removeprefix("cu")[:2])
        for on_windows in (False, True):
            oldest = oldest_driver((major, 0), on_windows=on_windows)
            assert oldest is not None
            assert version_numbers(oldest)[0] - build.lowest_driver in range(5)


def test_newer_toolkits_come_with_newer_drivers() -> None:
    for system in (0, 1):
        known = [version_numbers(pair[system] or "") for _, pair in sorted(TOOLKIT_DRIVER.items())
                 if pair[system]]
        assert known == sorted(known)
    for (major, minor), (linux, _) in TOOLKIT_DRIVER.items():
        assert version_numbers(linux) >= version_numbers(FIRST_DRIVER[major][0]), (major, minor)


@pytest.mark.parametrize(("capability", "architectures", "expected"), [
    ((8, 9), ("sm_80", "sm_86"), True), ((8, 0), ("sm_86",), False), ((9, 0), ("sm_86",), False),
    ((6, 1), ("sm_60",), True), ((6, 1), ("sm_75", "sm_80"), False),
    ((12, 1), ("sm_120",), True), ((10, 3), ("sm_100",), True), ((12, 0), ("sm_90",), False),
    ((12, 0), ("sm_90", "compute_90"), True), ((9, 0), ("sm_90a",), True),
    ((10, 3), ("sm_100a",), False), ((10, 3), ("sm_100f",), True), ((8, 0), ("strange",), False),
])
def test_kernels_run_on_their_generation_and_ptx_on_later_ones(
    capability: tuple[int, int], architectures: tuple[str, ...], expected: bool
) -> None:
    assert has_kernels(capability, architectures) is expected


def test_cuda_13_has_left_out_the_cards_before_turing() -> None:
    for capability in ((5, 2), (6, 1), (7, 0)):
        assert has_kernels(capability, ARCHITECTURES[12, 6])
        assert not has_kernels(capability, ARCHITECTURES[13, 0])
        found = build_for(capability)
        assert found is not None
        assert found.name == "cu126"
    assert lowest_capability(ARCHITECTURES[13, 0]) == "7.5"
    assert build_for((3, 5)) is None


def test_a_build_that_is_not_in_the_table_is_not_guessed() -> None:
    assert wheel_architectures("13.0")
    for cuda in (None, "", "11.8", "13"):
        assert wheel_architectures(cuda) == ()
