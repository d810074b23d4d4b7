"""Memory read phase by phase: resident memory for real, a GPU through hand-made counters."""

from __future__ import annotations

import time
from typing import Any

import pytest

from studio.device import Device
from studio.hardware.meter import CudaMeter, Held, ResidentMeter, gpu_used_bytes, meter_for
from studio.hardware.resident import resident_bytes
from tests.hardware.fake_nvml import Card, FakeNvml

BLOCK = 150_000_000


@pytest.mark.parametrize("has_system_peak", [True, False])
def test_a_block_that_came_and_went_shows_in_the_peak_alone(has_system_peak: bool) -> None:
    meter = ResidentMeter(has_system_peak=has_system_peak)
    try:
        before = meter.read().now
        block = bytearray(BLOCK)
        time.sleep(0.2)  # a thread that only looks must have had its turn
        del block
        after = meter.read()
        assert after.peak >= before + BLOCK * 0.9
        assert after.now < before + BLOCK * 0.5
        assert meter.read().peak < before + BLOCK * 0.5
        assert after.reserved is None
        outside = meter.outside_bytes()
        assert outside is not None and outside <= before + BLOCK
    finally:
        meter.close()


def test_every_device_has_its_meter() -> None:
    assert isinstance(meter_for(Device("cpu", "CPU", "float32", 1), None), ResidentMeter)
    assert isinstance(meter_for(Device("cuda", "a GPU", "bfloat16", 1), None), CudaMeter)


def test_on_a_gpu_the_counters_are_read_after_its_work_and_start_anew(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    asked: list[str] = []

    def counter(name: str, value: int | None) -> Any:
        def answer(device: int) -> int | None:
            assert device == 0
            asked.append(name)
            return value

        monkeypatch.setattr(torch.cuda, name, answer)

    counter("synchronize", None)
    for name, value in (("memory_allocated", 10), ("max_memory_allocated", 30),
                        ("max_memory_reserved", 40), ("memory_reserved", 35)):
        counter(name, value)
    counter("reset_peak_memory_stats", None)
    driver = FakeNvml(Card(used=1_000), Card(used=77))
    meter = CudaMeter(gpu_used_bytes(driver), driver)
    assert meter.read() == Held(10, 30, 40)
    assert asked[0] == "synchronize" and asked[-1] == "reset_peak_memory_stats"
    driver.cards[0].used = 1_500
    assert meter.outside_bytes() == 500 - 35
    driver.cards[0].used = 900  # another program has left the GPU meanwhile
    assert meter.outside_bytes() == 0
    assert CudaMeter(None, driver).outside_bytes() is None


def test_without_a_gpu_nobody_tells_what_is_used() -> None:
    assert gpu_used_bytes(FakeNvml()) is None
    assert gpu_used_bytes(FakeNvml(Card(silent={"nvmlDeviceGetMemoryInfo"}))) is None
    assert resident_bytes() > 0
