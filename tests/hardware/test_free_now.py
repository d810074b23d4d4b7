"""Free memory by program, and what is advised before training."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from studio.device import Device
from studio.hardware import free_now as module
from studio.hardware.free_now import FreeNow, FreeWatch, Holder, compare, free_now, held_by_others
from studio.hardware.memory import Estimate, estimate
from studio.hardware.parts import PartBytes
from studio.recipe import Recipe
from tests.hardware.fake_nvml import FUNCTIONS, GPU_IS_LOST, UNKNOWN, Card, FakeNvml
from tests.hardware.shapes import shape_of

GB = 10**9
GPU = Device("cuda", "RTX 4070", "bfloat16", 12 * GB, "00000001-aaaa")
CPU = Device("cpu", "CPU", "float32", 32 * GB)


@pytest.fixture(autouse=True)
def outside_of_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_in_container", lambda: False)


def needing(total: int) -> Estimate:
    """A real estimate, its sizes replaced."""
    return replace(_some_estimate(), parts=(PartBytes("weights", total, ""),),
                   low_bytes=round(0.9 * total), high_bytes=round(1.1 * total))


@functools.cache
def _some_estimate() -> Estimate:
    return estimate(Recipe(), shape_of("small-llama"), GPU)


def on_gpu(*cards: Card, free: int = 5 * GB) -> FreeNow:
    return free_now(GPU, free_bytes=free, nvml_library=FakeNvml(Card(programs={1: 9 * GB}), *cards))


def test_other_programs_on_the_used_gpu_are_named_and_ours_are_not_among_them() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        card = Card(programs={os.getpid(): 2 * GB, child.pid: GB, os.getppid(): 3 * GB})
        found = on_gpu(card)
        child.communicate(b"\n")
    assert found.own_bytes == 3 * GB
    assert [holder.used_bytes for holder in found.holders] == [3 * GB]
    assert found.others_bytes == 3 * GB


def test_a_program_that_is_gone_or_hidden_keeps_its_number() -> None:
    found = on_gpu(Card(programs={2**22 + 7: 4 * GB}))
    assert found.holders == (Holder(f"process {2**22 + 7}", 4 * GB),)
    assert "process" in held_by_others(found)


def test_windows_tells_names_without_sizes() -> None:
    found = on_gpu(Card(driver_model=0, drawing={2**22 + 1: None, 2**22 + 2: None}))
    words = held_by_others(found)
    assert f"process {2**22 + 1}, process {2**22 + 2}" in words
    assert "Windows does not tell how much" in words


def test_where_no_program_can_be_named_the_sum_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = {f"nvmlDeviceGet{kind}RunningProcesses_v{n}" for kind in ("Compute", "Graphics")
              for n in (2, 3)}
    assert "7.0 GB of the GPU are in use. The driver" in held_by_others(on_gpu(Card(silent=silent)))
    monkeypatch.setattr(module, "is_in_container", lambda: True)
    assert "A container does not see" in held_by_others(on_gpu(Card(programs={1: GB})))


@pytest.mark.parametrize("error", [GPU_IS_LOST, UNKNOWN])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_single_nvml_function_that_fails_breaks_the_look(function: str, error: int) -> None:
    library = FakeNvml(Card(), Card(programs={1: GB}), failing={function: error})
    found = free_now(GPU, free_bytes=5 * GB, nvml_library=library)
    assert isinstance(held_by_others(found), str)
    assert compare(needing(10 * GB), found).level == "problem"


def test_in_main_memory_what_the_studio_started_counts_as_its_own() -> None:
    code = "import sys; block = bytearray(400_000_000); print('ready', flush=True); input()"
    found = free_now(CPU)
    assert 0 < found.free_bytes <= CPU.total_bytes
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        during = free_now(CPU)
        child.communicate(b"\n")
    assert during.own_bytes > found.own_bytes + 300_000_000


def test_programs_of_one_name_are_taken_together() -> None:
    assert held_by_others(FreeNow(CPU, GB, (Holder("chrome", 3 * GB, 12),))) == (
        "Other programs hold 3.0 GB of memory: chrome (12 processes) 3.0 GB.")


def test_what_fits_comfortably_needs_no_more_words() -> None:
    found = compare(needing(2 * GB), FreeNow(GPU, 8 * GB, (Holder("game", 3 * GB),)))
    assert found.level == "good"
    assert len(found.sentences) == 1
    assert found.text.startswith("Fits comfortably")


def test_what_does_not_fit_names_who_would_have_to_leave() -> None:
    found = compare(needing(9 * GB), FreeNow(GPU, 7 * GB, (Holder("game", 4 * GB),), own_bytes=GB))
    assert found.level == "problem"
    assert found.text.startswith("Does not fit")
    assert "game 4.0 GB" in found.text
    assert "With these closed it fits." in found.text
    assert "This studio itself holds 1.0 GB" in found.text


def test_closing_others_is_not_promised_where_it_would_not_help() -> None:
    found = compare(needing(20 * GB), FreeNow(GPU, 7 * GB, (Holder("game", 4 * GB),)))
    assert "closed" not in found.text


def test_many_programs_are_not_all_listed() -> None:
    holders = tuple(Holder(f"program{n}", GB) for n in range(9))
    assert "and 5 more" in held_by_others(FreeNow(GPU, GB, holders))
    assert held_by_others(FreeNow(GPU, GB, (Holder("tiny", 1000),))) == ""


def test_a_page_looks_at_other_programs_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    real = free_now

    def counting(*args: object, **options: object) -> FreeNow:
        looks.append(1)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "free_now", counting)
    watch = FreeWatch()
    for _ in range(3):
        assert watch.now(CPU).free_bytes > 0
    assert len(looks) == 1
