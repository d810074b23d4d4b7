"""Memory read phase by phase: resident memory for real, a GPU through hand-made counters."""

from __future__ import annotations

import mmap
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from studio.device import Device
from studio.hardware.meter import CudaMeter, Held, ResidentMeter, meter_for, read_gpus
from tests.hardware.fake_nvml import Card, FakeNvml

BLOCK = 150_000_000
PIECE = b"x" * 1_000_000


def _block_that_came_and_went(has_system_peak: bool) -> tuple[int, Held, Held, int | None]:
    """What is held before, just after, at the reading after that, and outside."""
    meter = ResidentMeter(has_system_peak=has_system_peak)
    try:
        before = meter.read().now
        # Straight from the system: what a library frees may stay with the process.
        with mmap.mmap(-1, BLOCK) as block:
            for _ in range(BLOCK // len(PIECE)):
                block.write(PIECE)
            time.sleep(0.2)  # a thread that only looks must have had its turn
        return before, meter.read(), meter.read(), meter.outside_bytes()
    finally:
        meter.close()


@pytest.mark.parametrize("has_system_peak", [True, False])
def test_a_block_that_came_and_went_shows_in_the_peak_alone(has_system_peak: bool) -> None:
    # In a process of its own: what tests before it have left at work may grow in between.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        before, after, later, outside = process.submit(
            _block_that_came_and_went, has_system_peak).result()
    assert after.peak >= before + BLOCK * 0.9
    assert after.now < before + BLOCK * 0.5
    assert later.peak < before + BLOCK * 0.5
    assert after.reserved is None
    assert outside is not None and outside <= before + BLOCK


def test_every_device_has_its_meter() -> None:
    assert isinstance(meter_for(Device("cpu", "CPU", "float32", 1), ()), ResidentMeter)
    assert isinstance(meter_for(Device("cuda", "a GPU", "bfloat16", 1), ()), CudaMeter)


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
    driver = FakeNvml(Card(used=77), Card(used=1_000, uuid="GPU-mine"))
    meter = CudaMeter("mine", read_gpus(driver), driver)
    assert meter.read() == Held(10, 30, 40)
    assert asked[0] == "synchronize" and asked[-1] == "reset_peak_memory_stats"
    driver.cards[1].used = 1_500
    assert meter.outside_bytes() == 500 - 35
    driver.cards[1].used = 900  # another program has left the GPU meanwhile
    assert meter.outside_bytes() == 0


def test_where_nvml_does_not_tell_nothing_is_said_of_the_context() -> None:
    silent = FakeNvml(Card(uuid="GPU-mine", silent={"nvmlDeviceGetMemoryInfo"}))
    for uuid, driver in (("mine", silent), ("mine", FakeNvml()), (None, FakeNvml(Card()))):
        assert CudaMeter(uuid, read_gpus(driver), driver).outside_bytes() is None
