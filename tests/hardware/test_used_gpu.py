"""Which of several cards is used: torch's word first, then the switches, then CUDA's order."""

from __future__ import annotations

import pytest

from studio.hardware.used_gpu import by_uuid, used_gpu
from studio.settings import GpuSwitches, gpu_switches
from tests.hardware.fake_nvml import Card, FakeNvml
from tests.hardware.test_nvml import gpus_of

CARDS = gpus_of(FakeNvml(
    Card(name="old and small", total=8 * 10**9, capability=(6, 1), uuid="GPU-1111-2222"),
    Card(name="new and large", total=24 * 10**9, capability=(8, 9), uuid="GPU-3333-4444"),
))


def name(switches: GpuSwitches, uuid: str | None = None) -> str | None:
    gpu = used_gpu(CARDS, switches, uuid).gpu
    return gpu.name if gpu else None


@pytest.mark.parametrize(("visible", "by_bus", "expected"), [
    (None, False, "new and large"), (None, True, "old and small"),
    ("0", False, "old and small"), ("1,0", False, "new and large"),
    ("GPU-3333", False, "new and large"), ("gpu-1111-2222", False, "old and small"),
    ("", False, None), ("-1", False, None), ("2", False, None), ("GPU-9999", False, None),
    ("nonsense", False, None),
])
def test_the_switches_of_cuda_decide(visible: str | None, by_bus: bool, expected: str | None
                                     ) -> None:
    assert name(GpuSwitches(visible, by_bus)) == expected


def test_what_torch_itself_says_counts_more_than_any_order() -> None:
    for uuid in ("1111-2222", "GPU-1111-2222"):
        found = used_gpu(CARDS, GpuSwitches(None), uuid)
        assert found.is_certain
        assert found.gpu is not None
        assert found.gpu.name == "old and small"
    assert name(GpuSwitches(None), "ffff-ffff") == "new and large"


def test_a_slice_is_found_by_its_own_and_by_its_cards_identity() -> None:
    card = Card(uuid="GPU-aaaa-bbbb", slices=[Card(name="first", uuid="MIG-1234-5678"),
                                             Card(name="second", uuid="MIG-9876-5432")])
    gpus = gpus_of(FakeNvml(card))
    for uuid, expected in (("MIG-9876-5432", "second"), ("9876-5432", "second"),
                           ("aaaa-bbbb", "first"), ("MIG-GPU-aaaa-bbbb/1/0", "first")):
        found = by_uuid(gpus, uuid)
        assert found is not None
        assert found.name == expected


def test_numbers_count_cards_and_not_slices() -> None:
    sliced = Card(slices=[Card(name="slice"), Card(name="slice")])
    gpus = gpus_of(FakeNvml(sliced, Card(name="whole")))
    found = used_gpu(gpus, GpuSwitches("1")).gpu
    assert found is not None
    assert found.name == "whole"


def test_a_lost_card_is_not_the_used_one() -> None:
    gpus = gpus_of(FakeNvml(Card(), failing={"nvmlDeviceGetMemoryInfo": 15}))
    assert used_gpu(gpus, GpuSwitches()).gpu is None
    assert used_gpu([], GpuSwitches()).gpu is None


def test_the_switches_are_read_from_the_environment() -> None:
    assert gpu_switches({}) == GpuSwitches(None, False)
    assert gpu_switches({"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
                        ) == GpuSwitches("1", True)
