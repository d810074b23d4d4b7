"""Each check of GPUs on a hand-made PC with one fault."""

from __future__ import annotations

import pytest

from studio.hardware import checks_gpu as checks
from studio.hardware.finding import Finding
from studio.hardware.library_trial import Trial
from studio.settings import GpuSwitches, Settings
from tests.hardware.fake_nvml import Card, FakeNvml
from tests.hardware.pcs import MAC, WINDOWS, WSL, pc

GB = 10**9


def given(finding: Finding | None, level: str) -> str:
    """The sentence and hint of a finding of that level."""
    assert finding is not None
    assert finding.level == level
    return f"{finding.what} {finding.hint}"


def test_a_gpu_with_a_torch_without_cuda_is_a_problem(settings: Settings) -> None:
    words = given(checks.check_torch_for_gpu(pc(settings, Card(), cuda=None)), "problem")
    assert "built without CUDA" in words
    assert "launch.py --torch auto" in words


def test_a_torch_without_cuda_is_fine_where_there_is_no_gpu(settings: Settings) -> None:
    assert checks.check_torch_for_gpu(pc(settings, cuda=None)) is None


@pytest.mark.parametrize(("driver", "newest", "torch", "level"), [
    ("550.54.14", 12040, "13.0", "problem"), ("580.65.06", 13000, "13.0", "ok"),
    ("550.54.14", 12040, "12.8", "ok"), ("590.48.01", 13010, "12.6", "ok"),
    ("470.82.01", 11040, "12.6", "problem"), ("580.65.06", 13000, "13.2", "ok"),
])
def test_a_driver_older_than_the_runtimes_major_version_is_a_problem(
    settings: Settings, driver: str, newest: int, torch: str, level: str
) -> None:
    nvml = FakeNvml(Card(), cuda=newest, driver=driver)
    words = given(checks.check_driver(pc(settings, nvml=nvml, cuda=torch)), level)
    assert driver in words


def test_an_old_driver_names_the_one_that_is_needed_and_the_build_that_would_do(
    settings: Settings
) -> None:
    nvml = FakeNvml(Card(), cuda=12040, driver="550.54.14")
    words = given(checks.check_driver(pc(settings, nvml=nvml)), "problem")
    assert "580.65.06 or newer" in words
    assert "--torch cu126" in words
    windows = given(checks.check_driver(pc(settings, nvml=nvml, host=WINDOWS)), "problem")
    assert "needs 580 or newer" in windows


def test_inside_wsl_the_driver_belongs_to_windows(settings: Settings) -> None:
    nvml = FakeNvml(Card(), cuda=12040, driver="551.61")
    words = given(checks.check_driver(pc(settings, nvml=nvml, host=WSL)), "problem")
    assert "in Windows, not inside WSL" in words


def test_what_torch_itself_managed_counts_more_than_the_table(settings: Settings) -> None:
    nvml = FakeNvml(Card(), cuda=12040, driver="535.54.03")
    facts = pc(settings, nvml=nvml, trial=Trial(cuda_works=True))
    assert "torch uses it" in given(checks.check_driver(facts), "ok")


def test_a_driver_of_unknown_version_is_judged_by_its_cuda(settings: Settings) -> None:
    nvml = FakeNvml(Card(), cuda=12040, failing={"nvmlSystemGetDriverVersion": 999})
    given(checks.check_driver(pc(settings, nvml=nvml)), "problem")


def test_a_driver_that_does_not_answer_is_a_warning(settings: Settings) -> None:
    facts = pc(settings, nvml=FakeNvml(init_error=999))
    assert "install the NVIDIA driver again" in given(checks.check_driver_answers(facts), "warning")
    facts = pc(settings, nvml=FakeNvml(init_error=999), host=WSL)
    assert "in Windows" in given(checks.check_driver_answers(facts), "warning")


def test_a_card_without_power_is_told_beside_the_one_that_works(settings: Settings) -> None:
    words = given(checks.check_driver_answers(pc(settings, Card(), Card(lost=True))), "warning")
    assert "GPU 1 does not answer" in words
    assert "power cable" in words


def test_a_gpu_that_disappears_while_the_pc_runs_is_a_problem(settings: Settings) -> None:
    nvml = FakeNvml(Card(), failing={"nvmlDeviceGetMemoryInfo": 15})
    assert "GPU 0 disappeared" in given(
        checks.check_lost_gpus(pc(settings, nvml=nvml)), "problem")
    assert checks.check_lost_gpus(pc(settings, Card())) is None


def test_torchs_own_reason_is_passed_on(settings: Settings) -> None:
    facts = pc(settings, Card(), trial=Trial(False, "CUDA unknown error."))
    assert "CUDA unknown error" in given(checks.check_cuda_works(facts), "problem")
    assert checks.check_cuda_works(pc(settings, Card(), trial=Trial(True))) is None
    assert checks.check_cuda_works(pc(settings, trial=Trial(False))) is None


def test_a_hidden_gpu_is_told(settings: Settings) -> None:
    facts = pc(settings, Card(), switches=GpuSwitches(""))
    assert "CUDA_VISIBLE_DEVICES" in given(checks.check_visible(facts), "warning")
    assert checks.check_visible(pc(settings, Card(), switches=GpuSwitches("0"))) is None


@pytest.mark.parametrize(("card", "level"), [(Card(), "ok"), (Card(total=2 * GB), "warning")])
def test_a_card_too_small_is_said(settings: Settings, card: Card, level: str) -> None:
    given(checks.check_gpu(pc(settings, card)), level)


def test_of_several_cards_the_used_one_is_named_with_the_reason(settings: Settings) -> None:
    cards = (Card(name="small", total=8 * GB, capability=(7, 5)), Card(name="big", total=24 * GB))
    words = given(checks.check_gpu(pc(settings, *cards)), "ok")
    assert words.startswith("big with 24.0 GB is used: CUDA counts the fastest GPU first.")
    assert "Not used: small with 8.0 GB" in words


def test_a_larger_card_that_stays_unused_is_a_warning(settings: Settings) -> None:
    cards = (Card(name="small", total=8 * GB), Card(name="big", total=24 * GB))
    facts = pc(settings, *cards, switches=GpuSwitches("0"))
    words = given(checks.check_best_gpu(facts), "warning")
    assert "big with 24.0 GB" in words
    assert "CUDA_VISIBLE_DEVICES=GPU-00000001-aaaa" in words
    assert checks.check_best_gpu(pc(settings, *cards)) is None


@pytest.mark.parametrize(("capability", "cuda", "hint"), [
    ((6, 1), "13.0", "--torch cu126"), ((7, 0), "13.2", "--torch cu126"),
    ((12, 0), "12.6", "--torch cu130"), ((3, 7), "13.0", "--torch cpu"),
])
def test_a_torch_without_kernels_for_the_card_is_a_problem(
    settings: Settings, capability: tuple[int, int], cuda: str, hint: str
) -> None:
    words = given(checks.check_kernels(pc(settings, Card(capability=capability), cuda=cuda)),
                  "problem")
    assert "no kernels" in words
    assert hint in words


def test_the_kernels_that_torch_itself_names_count(settings: Settings) -> None:
    old = Card(capability=(6, 1))
    own_build = Trial(architectures=("sm_61",))
    assert checks.check_kernels(pc(settings, old, trial=own_build)) is None
    assert checks.check_kernels(pc(settings, Card(), cuda="11.8")) is None


def test_a_card_without_bfloat16_is_told_what_is_done_instead(settings: Settings) -> None:
    words = given(checks.check_bfloat16(pc(settings, Card(capability=(7, 5)))), "warning")
    assert "float16" in words
    assert checks.check_bfloat16(pc(settings, Card())) is None
    assert checks.check_bfloat16(pc(
        settings, Card(silent={"nvmlDeviceGetCudaComputeCapability"}))) is None


def test_a_slice_is_named_as_one(settings: Settings) -> None:
    card = Card(name="H100", slices=[Card(name="H100 MIG 1g.10gb", total=10 * GB)])
    assert "slice (MIG) of a GPU, with 10.0 GB" in given(
        checks.check_mig(pc(settings, card)), "ok")
    assert checks.check_mig(pc(settings, Card())) is None


def test_windows_is_told_of_borrowed_memory(settings: Settings) -> None:
    facts = pc(settings, Card(driver_model=0), host=WINDOWS)
    assert "Sysmem Fallback" in given(checks.check_wddm(facts), "ok")
    assert checks.check_wddm(pc(settings, Card(driver_model=1), host=WINDOWS)) is None
    assert checks.check_wddm(pc(settings, Card())) is None


def test_without_an_nvidia_card_the_apple_gpu_or_the_processor_is_named(settings: Settings) -> None:
    assert "processor" in given(checks.check_gpu(pc(settings)), "ok")
    assert "Apple" in given(checks.check_gpu(pc(settings, host=MAC)), "ok")
