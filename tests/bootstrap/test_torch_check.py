"""The NVIDIA driver (hand-made) and the installed torch, compared without importing anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.bootstrap import torch_check
from studio.bootstrap.torch_check import Gpu, InstalledTorch
from tests.bootstrap.tiny_checkout import add_fake_nvidia_smi

VERSION_PY = """\
from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', 'rocm', 'xpu']
__version__ = '2.13.0+{suffix}'
debug = False
cuda: Optional[str] = {cuda!r}
git_version = 'cf30153c4c131c8164ee7798e5022d810682e2cb'
hip: Optional[str] = {hip!r}
rocm: Optional[str] = {hip!r}
xpu: Optional[str] = None
"""


def _torch(folder: Path, suffix: str, cuda: str | None = None, hip: str | None = None) -> Path:
    (folder / "torch").mkdir()
    text = VERSION_PY.format(suffix=suffix, cuda=cuda, hip=hip)
    (folder / "torch" / "version.py").write_text(text)
    return folder


def test_torch_is_read_from_the_text_of_its_version_file(tmp_path: Path) -> None:
    assert torch_check.read_torch(tmp_path) is None
    assert torch_check.read_torch(_torch(tmp_path, "cpu")) == InstalledTorch("2.13.0+cpu", None)


def test_cuda_and_rocm_builds_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    cuda = torch_check.read_torch(_torch(tmp_path / "a", "cu130", cuda="13.0"))
    rocm = torch_check.read_torch(_torch(tmp_path / "b", "rocm7.2", hip="7.2.1"))
    assert cuda == InstalledTorch("2.13.0+cu130", "CUDA 13.0")
    assert rocm == InstalledTorch("2.13.0+rocm7.2", "ROCm 7.2.1")
    assert cuda.public_version == "2.13.0"


def test_the_torch_that_runs_these_tests_is_read_as_it_reads_itself() -> None:
    import torch

    found = torch_check.read_torch(Path(torch.__file__).parent.parent)
    assert found is not None and found.version == torch.__version__
    assert (found.accelerator is None) == (torch.version.cuda is None)


def test_gpus_are_read_from_nvidia_smi(tmp_path: Path) -> None:
    assert torch_check.find_nvidia_smi(str(tmp_path)) is None
    add_fake_nvidia_smi(
        tmp_path, "NVIDIA H100 80GB HBM3, 580.95.05, 9.0\nNVIDIA T4, 580.95.05, 7.5"
    )
    program = torch_check.find_nvidia_smi(str(tmp_path))
    assert torch_check.read_gpus(program) == [
        Gpu("NVIDIA H100 80GB HBM3", "580.95.05", 9.0), Gpu("NVIDIA T4", "580.95.05", 7.5)]


@pytest.mark.parametrize("answer", [
    "No devices were found",
    "NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.",
])
def test_a_driver_that_does_not_answer_gives_no_gpus(tmp_path: Path, answer: str) -> None:
    assert torch_check.read_gpus(add_fake_nvidia_smi(tmp_path, answer)) == []


@pytest.mark.parametrize(
    ("gpu", "build"),
    [
        (Gpu("RTX 5090", "590.12", 12.0), "cu130"), (Gpu("RTX 4090", "581.08", 8.9), "cu130"),
        (Gpu("RTX 4090", "552.44", 8.9), "cu126"), (Gpu("GTX 1080", "580.97", 6.1), "cu126"),
        (Gpu("V100", "535.104", 7.0), "cu126"), (Gpu("unknown", "580.1", None), "cu130"),
        (Gpu("RTX 5090", "570.86", 12.0), None), (Gpu("RTX 3060", "516.94", 8.6), None),
        (Gpu("GTX 680", "470.2", 3.0), None),
    ],
)
def test_the_newest_build_that_driver_and_gpu_can_run_is_chosen(
    gpu: Gpu, build: str | None
) -> None:
    found = torch_check.fitting_build([gpu])
    assert (found.name if found else None) == build


def test_an_old_driver_is_named_with_the_one_that_would_do() -> None:
    assert "580 or newer" in torch_check.why_no_build(Gpu("RTX 5090", "570.86", 12.0))
    assert "525 or newer" in torch_check.why_no_build(Gpu("RTX 3060", "516.94", 8.6))
    assert "no build of this torch" in torch_check.why_no_build(Gpu("GTX 680", "470.2", 3.0))


def test_a_cuda_13_torch_cannot_use_a_cuda_12_driver() -> None:
    gpu = Gpu("RTX 4090", "552.44", 8.9)
    assert not torch_check.can_use(InstalledTorch("2.13.0+cu130", "CUDA 13.0"), gpu)
    assert torch_check.can_use(InstalledTorch("2.13.0+cu126", "CUDA 12.6"), gpu)
    assert not torch_check.can_use(InstalledTorch("2.13.0+cpu", None), gpu)
    assert torch_check.can_use(InstalledTorch("2.13.0+rocm7.2", "ROCm 7.2"), gpu)


def test_only_linux_on_x86_finds_cuda_in_the_plain_wheel() -> None:
    assert torch_check.plain_build("linux", "x86_64") == "cu130"
    assert torch_check.plain_build("win32", "AMD64") == "cpu"
    assert torch_check.plain_build("linux", "aarch64") == "cpu"


def test_the_mending_command_names_the_build_and_its_index() -> None:
    command = torch_check.mending_command(Path("python"), "2.13.0", "cu130")
    assert command == (
        "python -m pip install torch==2.13.0+cu130 "
        "--extra-index-url https://download.pytorch.org/whl/cu130"
    )
