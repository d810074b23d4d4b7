"""The sampler: what it reads, what it writes, and that it stops."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from studio.hardware import telemetry
from studio.hardware.telemetry import FILE_NAME, Sampler
from tests.hardware.fake_nvml import Card, FakeNvml

NO_DRIVER = 12


def wait_for_lines(path: Path, count: int) -> list[str]:
    for _ in range(2000):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if len(lines) >= count:
            return lines
        time.sleep(0.005)
    raise AssertionError(f"{path} has fewer than {count} lines after ten seconds")


def test_a_sample_names_the_gpu_and_this_process() -> None:
    sample = Sampler(FakeNvml(Card())).sample()
    assert sample.gpu_name == "NVIDIA GeForce RTX 4070"
    assert (sample.gpu_used_bytes, sample.gpu_total_bytes) == (10**9, 12 * 10**9)
    assert (sample.gpu_utilization_percent, sample.gpu_temperature_celsius) == (37, 61)
    assert sample.gpu_power_watts == 145.5
    assert 0 < sample.rss_bytes < sample.ram_total_bytes
    assert 0 <= sample.cpu_percent <= 100


def test_without_a_driver_the_gpu_fields_are_none() -> None:
    sample = Sampler(FakeNvml(init_error=NO_DRIVER)).sample()
    assert {value for name, value in sample.to_dict().items() if name.startswith("gpu_")} == {None}


def test_memory_is_read_anew_each_time() -> None:
    card = Card()
    sampler = Sampler(FakeNvml(card))
    sampler.sample()
    card.used = 5 * 10**9
    assert sampler.sample().gpu_used_bytes == 5 * 10**9


def test_a_card_that_gets_lost_reads_as_none_and_nvml_is_let_go() -> None:
    library = FakeNvml(Card())
    sampler = Sampler(library)
    assert sampler.sample().gpu_name
    library.cards[0].lost = True
    assert sampler.sample().gpu_name is None
    assert library.open_count == 0


def test_two_readers_close_together_do_not_spoil_the_processors_load() -> None:
    sampler = Sampler(FakeNvml(init_error=NO_DRIVER))
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    busy = sampler.sample().cpu_percent
    assert busy > 0
    assert sampler.sample().cpu_percent == busy


def test_lines_are_strict_json_and_stop_ends_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "INTERVAL_SECONDS", 0.01)
    library = FakeNvml(Card())
    sampler = Sampler(library)
    sampler.start(tmp_path)
    wait_for_lines(tmp_path / FILE_NAME, 3)
    sampler.close()
    text = (tmp_path / FILE_NAME).read_text(encoding="utf-8")
    assert text.endswith("\n")
    records = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    assert [record["time"] for record in records] == sorted(r["time"] for r in records)
    assert "telemetry" not in {thread.name for thread in threading.enumerate()}
    assert library.open_count == 0


def test_a_resumed_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for lines in (1, 2):
        sampler = Sampler(FakeNvml(init_error=NO_DRIVER))
        sampler.start(tmp_path)
        wait_for_lines(tmp_path / FILE_NAME, lines)
        sampler.stop()
    assert len((tmp_path / FILE_NAME).read_text(encoding="utf-8").splitlines()) >= 2


def test_a_sampler_that_writes_cannot_be_started_again_until_it_is_stopped(tmp_path: Path) -> None:
    sampler = Sampler(FakeNvml(init_error=NO_DRIVER))
    sampler.start(tmp_path)
    with pytest.raises(RuntimeError):
        sampler.start(tmp_path)
    sampler.stop()
    sampler.stop()
    sampler.start(tmp_path)
    sampler.close()


def test_a_second_of_sampling_costs_less_than_a_hundredth_of_a_core() -> None:
    sampler = Sampler(FakeNvml(Card()))
    before = time.thread_time()
    for _ in range(100):
        sampler.sample()
    # Processor time of this thread alone, so a busy machine does not decide.
    assert (time.thread_time() - before) / 100 < 0.01 * telemetry.INTERVAL_SECONDS
