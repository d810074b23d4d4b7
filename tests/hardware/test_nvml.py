"""NVML through a hand-made fake: every value may be missing, and no error comes out."""

from __future__ import annotations

import inspect
import re

import pynvml
import pytest

from studio.hardware import nvml as nvml_module
from studio.hardware.nvml import Gpu, nvml_session, open_nvml
from tests.hardware import fake_nvml
from tests.hardware.fake_nvml import FUNCTIONS, Card, FakeNvml


def gpus_of(library: FakeNvml) -> list[Gpu]:
    with nvml_session(library) as (nvml, _):
        assert nvml is not None
        return [nvml.read(index, slot) for index, slot in enumerate(nvml.slots())]


def test_a_card_tells_everything_in_bytes_watts_and_degrees() -> None:
    assert gpus_of(FakeNvml(Card())) == [Gpu(
        index=0, name="NVIDIA GeForce RTX 4070", total_bytes=12_000_000_000,
        used_bytes=1_000_000_000, free_bytes=11_000_000_000, compute_capability=(8, 9),
        utilization_percent=37, temperature_celsius=61, power_watts=145.5,
        power_limit_watts=200.0, uuid="GPU-00000000-aaaa", card_uuid="GPU-00000000-aaaa",
    )]


@pytest.mark.parametrize(("function", "value"), [
    ("nvmlDeviceGetMemoryInfo", "total_bytes"),
    ("nvmlDeviceGetCudaComputeCapability", "compute_capability"),
    ("nvmlDeviceGetUtilizationRates", "utilization_percent"),
    ("nvmlDeviceGetTemperature", "temperature_celsius"),
    ("nvmlDeviceGetPowerUsage", "power_watts"),
    ("nvmlDeviceGetEnforcedPowerLimit", "power_limit_watts"),
])
def test_a_value_that_a_card_does_not_support_is_none_and_the_rest_is_there(
    function: str, value: str
) -> None:
    gpu = gpus_of(FakeNvml(Card(silent={function})))[0]
    assert getattr(gpu, value) is None
    assert gpu.name == "NVIDIA GeForce RTX 4070"


def test_a_lost_card_does_not_hide_the_others() -> None:
    found = gpus_of(FakeNvml(Card(lost=True), Card(name="the other")))
    assert [gpu.name for gpu in found] == ["the other"]


def test_a_card_cut_into_mig_slices_gives_its_slices_with_their_own_memory() -> None:
    slices = [Card(name="H100 MIG 1g.10gb", total=10_000_000_000,
                   silent={"nvmlDeviceGetCudaComputeCapability", "nvmlDeviceGetUtilizationRates"})
              for _ in range(2)]
    found = gpus_of(FakeNvml(Card(name="H100", capability=(9, 0), slices=slices)))
    assert [(gpu.name, gpu.total_bytes, gpu.is_mig) for gpu in found] == [
        ("H100 MIG 1g.10gb", 10_000_000_000, True)] * 2
    assert found[0].compute_capability == (9, 0)
    assert found[0].utilization_percent is None
    assert found[0].temperature_celsius == 61


def test_the_drivers_cuda_version_is_two_numbers() -> None:
    with nvml_session(FakeNvml(Card(), cuda=12080)) as (nvml, _):
        assert nvml is not None
        assert nvml.driver().cuda == (12, 8)


def test_no_driver_is_no_error_and_no_reason() -> None:
    assert open_nvml(FakeNvml(init_error=fake_nvml.LIBRARY_NOT_FOUND)) == (None, "")


def test_a_driver_that_does_not_answer_gives_a_reason() -> None:
    for number, words in ((fake_nvml.DRIVER_NOT_LOADED, "has not loaded it"),
                          (18, "the old one is still loaded"), (999, "does not answer")):
        nvml, reason = open_nvml(FakeNvml(init_error=number))
        assert nvml is None
        assert words in reason


def test_every_opening_is_closed_once() -> None:
    library = FakeNvml(Card())
    nvml, _ = open_nvml(library)
    assert nvml is not None
    assert library.open_count == 1
    nvml.close()
    nvml.close()
    assert library.open_count == 0


def test_bfloat16_starts_with_ampere() -> None:
    turing, ampere = gpus_of(FakeNvml(Card(capability=(7, 5)), Card(capability=(8, 0))))
    assert (turing.computes_bfloat16, ampere.computes_bfloat16) == (False, True)


def test_every_function_that_is_asked_for_exists_in_the_real_library() -> None:
    asked = set(re.findall(r'"(nvml[A-Z]\w+)"', inspect.getsource(nvml_module)))
    assert len(asked) > 10
    assert [name for name in [*asked, *FUNCTIONS] if not hasattr(pynvml, name)] == []
    assert issubclass(pynvml.NVMLError, Exception)


def test_the_numbers_that_are_written_out_are_nvmls_own() -> None:
    assert nvml_module._GONE == (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)
    assert nvml_module._NO_LIBRARY == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    assert nvml_module._NOT_LOADED == pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    assert nvml_module._OTHER_VERSION == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    assert nvml_module._DRIVER_MODELS[pynvml.NVML_DRIVER_WDDM] == "WDDM"
    assert nvml_module._DRIVER_MODELS[pynvml.NVML_DRIVER_WDM] == "TCC"
    assert nvml_module._DRIVER_MODELS[pynvml.NVML_DRIVER_MCDM] == "MCDM"


def test_the_fake_has_every_function_that_is_asked_for() -> None:
    source = inspect.getsource(nvml_module)
    asked = set(re.findall(r'"(nvml[A-Z]\w+)"', source)) | {"nvmlInit"} | {
        f"nvmlDeviceGet{kind}RunningProcesses{version}"
        for kind in ("Compute", "Graphics") for version in ("_v3", "_v2")}
    assert asked == set(FUNCTIONS)


def test_programs_on_a_card_are_listed_once_with_the_larger_of_both_numbers() -> None:
    card = Card(programs={7: 3_000, 8: None}, drawing={7: 5_000, 9: 100})
    with nvml_session(FakeNvml(card)) as (nvml, _):
        assert nvml is not None
        found = {process.pid: process.used_bytes for process in nvml.processes(nvml.slots()[0])
                 or ()}
    assert found == {7: 5_000, 8: None, 9: 100}


@pytest.mark.parametrize(("silent", "known"), [
    ({"nvmlDeviceGetComputeRunningProcesses_v3"}, True),
    ({f"nvmlDeviceGet{kind}RunningProcesses_v{n}" for kind in ("Compute", "Graphics")
      for n in (2, 3)}, False),
])
def test_an_older_driver_is_asked_in_its_own_way_and_wsl_names_no_programs(
    silent: set[str], known: bool
) -> None:
    with nvml_session(FakeNvml(Card(programs={7: 1}, silent=silent))) as (nvml, _):
        assert nvml is not None
        assert (nvml.processes(nvml.slots()[0]) is not None) is known


def test_a_card_that_nvml_counts_but_does_not_hand_out_is_told() -> None:
    with nvml_session(FakeNvml(Card(), Card(lost=True))) as (nvml, _):
        assert nvml is not None
        assert len(nvml.slots()) == 1
        assert nvml.unanswered == ("GPU 1 does not answer: NVML error 15.",)


def test_a_card_that_gets_lost_at_a_later_call_is_marked() -> None:
    library = FakeNvml(Card(), Card())
    with nvml_session(library) as (nvml, _):
        assert nvml is not None
        slots = nvml.slots()
        library.cards[0].lost = True
        gpus = [nvml.read(index, slot) for index, slot in enumerate(slots)]
        assert [gpu.is_lost for gpu in gpus] == [True, False]
        assert nvml.load(slots[0]) is None
        assert nvml.load(slots[1]) is not None


def test_windows_driver_models_have_names() -> None:
    assert [gpu.driver_model for gpu in gpus_of(FakeNvml(
        Card(driver_model=0), Card(driver_model=1), Card()))] == ["WDDM", "TCC", None]


def test_the_real_library_can_be_asked_on_any_pc() -> None:
    with nvml_session() as (nvml, reason):
        assert nvml is not None or isinstance(reason, str)
