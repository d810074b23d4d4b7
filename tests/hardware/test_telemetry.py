"""The sampler: what it reads, what it writes, and that it stops."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from studio.hardware import telemetry
from studio.hardware.telemetry import FILE_NAME, Sampler, read_telemetry
from tests.hardware.fake_nvml import FUNCTIONS, GPU_IS_LOST, NOT_SUPPORTED, Card, FakeNvml

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


@pytest.mark.parametrize("error", [GPU_IS_LOST, NOT_SUPPORTED])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_single_nvml_function_that_fails_stops_the_sampling(function: str, error: int) -> None:
    cards = (Card(), Card(slices=[Card(name="slice")]))
    for uuid in (None, "MIG-0001", "GPU-0000"):
        library = FakeNvml(*cards)
        sampler = Sampler(library, lambda wanted=uuid: wanted)
        sampler.sample()
        library.failing = {function: error}
        assert sampler.sample().ram_total_bytes > 0
        sampler.close()
        assert Sampler(library).sample().ram_total_bytes > 0


def test_a_card_that_is_lost_during_a_run_leaves_gaps_and_the_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "INTERVAL_SECONDS", 0.01)
    library = FakeNvml(Card())
    sampler = Sampler(library)
    sampler.start(tmp_path)
    count = len(wait_for_lines(tmp_path / FILE_NAME, 2))
    library.cards[0].lost = True
    wait_for_lines(tmp_path / FILE_NAME, count + 3)
    sampler.close()
    assert sampler.problem == ""
    names = [sample.gpu_name for sample in read_telemetry(tmp_path).read()]
    assert names[0] is not None
    assert names[-1] is None


def test_the_card_that_torch_chose_is_watched_and_not_the_first(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    library = FakeNvml(Card(name="first"), Card(name="second"))
    chosen: list[str | None] = [None]
    sampler = Sampler(library, lambda: chosen[0])
    assert sampler.sample().gpu_name == "first"
    chosen[0] = "00000001-aaaa"
    assert sampler.sample().gpu_name == "second"
    sampler.close()
    assert library.open_count == 0


def test_a_disk_that_is_full_ends_the_recording_with_a_reason(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("only Linux has a device that is always full")
    (tmp_path / FILE_NAME).symlink_to(full)
    sampler = Sampler(FakeNvml(init_error=NO_DRIVER))
    sampler.start(tmp_path)
    for _ in range(2000):
        if sampler.problem:
            break
        time.sleep(0.005)
    assert "No space left" in sampler.problem
    sampler.close()


def test_memory_of_child_processes_is_not_counted_as_ours() -> None:
    sampler = Sampler(FakeNvml(init_error=NO_DRIVER))
    code = "import sys; block = bytearray(400_000_000); print('ready', flush=True); input()"
    before = sampler.sample().rss_bytes
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        during = sampler.sample().rss_bytes
        child.communicate("\n")
    assert during - before < 100_000_000


def test_what_was_recorded_can_be_read_back_while_it_grows(tmp_path: Path) -> None:
    sample = Sampler(FakeNvml(Card())).sample()
    path = tmp_path / FILE_NAME
    line = json.dumps(sample.to_dict())
    path.write_text(line + "\n" + line[:20], encoding="utf-8")
    reader = read_telemetry(tmp_path)
    assert reader.read() == [sample]
    with path.open("a", encoding="utf-8") as file:
        file.write(line[20:] + '\n{"time": 1.0}\n{"other": 2}\n')
        file.write(json.dumps({**sample.to_dict(), "new_in_a_later_version": 3}) + "\n")
    assert reader.read() == [sample] * 3


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
