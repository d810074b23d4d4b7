"""What the probe finds, on this PC and on hand-made ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from studio.hardware import capacity, cpu
from studio.hardware.capacity import training_verdict
from studio.hardware.installed import TorchBuild, torch_build
from studio.hardware.probe import probe
from tests.hardware.fake_nvml import Card, FakeNvml
from tests.hardware.test_nvml import gpus_of


def test_this_pc_is_described_and_can_be_written_as_json(tmp_path: Path) -> None:
    found = probe(tmp_path / "not" / "yet", nvml_library=FakeNvml(Card(), Card(name="second")))
    assert [gpu.name for gpu in found.gpus] == ["NVIDIA GeForce RTX 4070", "second"]
    assert found.ram_total_bytes >= found.ram_available_bytes > 0
    assert found.disk_free_bytes > 0
    assert found.cpu_name
    assert found.logical_cores >= 1
    assert found.libraries["torch"]
    assert found.verdict
    assert json.loads(json.dumps(found.to_dict()))["gpus"][0]["total_bytes"] == 12_000_000_000


def test_a_failing_driver_is_a_note_not_an_error() -> None:
    found = probe(nvml_library=FakeNvml(init_error=999))
    assert found.gpus == ()
    assert "does not answer" in found.notes[0]


def test_looking_at_the_hardware_imports_no_slow_library() -> None:
    code = ("import sys; from studio.hardware.probe import probe; "
            "from studio.hardware.telemetry import Sampler; probe(); Sampler().sample(); "
            "print([n for n in ('torch', 'transformers', 'gradio') if n in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("text", "name"), [
    ("processor\t: 0\nmodel name\t: AMD Ryzen 7  5800X\nmodel name\t: other", "AMD Ryzen 7 5800X"),
    ("Hardware\t: BCM2711\nModel\t\t: Raspberry Pi 4 Model B", "Raspberry Pi 4 Model B"),
    ("processor\t: 0\nBogoMIPS\t: 108.00", ""),
])
def test_the_processors_name_is_read_from_cpuinfo(text: str, name: str) -> None:
    assert cpu.name_in_cpuinfo(text) == name


def test_an_unknown_system_still_has_a_processor_name() -> None:
    assert cpu.cpu_name("Plan9")


@pytest.mark.parametrize(("memory", "expected"), [
    (2_000_000_000, "too small"),
    (8_000_000_000, "up to 1.5 billion parameters by LoRA, and up to 4 billion"),
    (12_000_000_000, "up to 4 billion parameters by LoRA, and up to 8 billion"),
    (24_000_000_000, "up to 8 billion parameters by LoRA, and up to 24 billion"),
    (80_000_000_000, "up to 32 billion parameters by LoRA, and up to 70 billion"),
])
def test_the_verdict_names_model_sizes_for_the_cards_memory(memory: int, expected: str) -> None:
    assert expected in training_verdict(tuple(gpus_of(FakeNvml(Card(total=memory)))), 32 * 10**9)


def test_the_verdict_speaks_of_the_largest_card_and_of_a_silent_one() -> None:
    both = gpus_of(FakeNvml(Card(total=4 * 10**9), Card(name="big", total=24 * 10**9)))
    assert training_verdict(tuple(both), 10**10).startswith("big")
    silent = gpus_of(FakeNvml(Card(silent={"nvmlDeviceGetMemoryInfo"})))
    assert "does not tell" in training_verdict(tuple(silent), 10**10)


def test_without_a_gpu_the_verdict_speaks_of_the_processor_and_of_patience() -> None:
    assert "minutes rather than hours" in training_verdict((), 32 * 10**9)
    assert "Apple" in training_verdict((), 16 * 10**9, is_apple_silicon=True)
    assert "not enough" in training_verdict((), 2 * 10**9)


def test_more_memory_never_holds_smaller_models() -> None:
    sizes = [capacity.largest_billion(gb * 10**9, capacity.LORA_BYTES) or 0 for gb in range(1, 99)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(("text", "version", "expected"), [
    ("from typing import Optional\n__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n",
     "2.13.0", TorchBuild("2.13.0+cpu", None)),
    ("__version__ = '2.13.0+cu130'\ncuda: str = '13.0'\n", "2.13.0", TorchBuild("2.13.0+cu130",
                                                                               "13.0")),
    ("", "2.13.0+cu126", TorchBuild("2.13.0+cu126", "12.6")),
    ("not python (", "2.13.0", TorchBuild("2.13.0", None)),
])
def test_what_torch_was_built_for_is_read_from_its_files(
    text: str, version: str, expected: TorchBuild
) -> None:
    assert torch_build(text, version) == expected
