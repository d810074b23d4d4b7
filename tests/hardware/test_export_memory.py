"""Merging and GGUF: the sizes of the files, and the memory of a process that really merges."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from studio.export.gguf import GGUF_TYPES, write_gguf
from studio.files import folder_bytes
from studio.hardware.export_memory import estimate_gguf, estimate_merge
from studio.models.shape import model_shape
from studio.recipe import Adapter
from studio.settings import Settings
from tests.hardware.shapes import shape_of


def test_a_gguf_is_as_large_as_foretold(
    starter_model: Path, settings: Settings, tmp_path: Path
) -> None:
    made = write_gguf(starter_model, tmp_path / "starter.gguf", "q8_0", settings)
    found = estimate_gguf(model_shape(str(starter_model), settings), "q8_0")
    assert found.disk_bytes == pytest.approx(made.bytes, rel=0.02)


def test_every_type_of_gguf_has_its_size() -> None:
    shape = shape_of("meta-llama/Meta-Llama-3-8B")
    sizes = {outtype: estimate_gguf(shape, outtype).disk_bytes for outtype in GGUF_TYPES}
    assert sizes["f16"] == sizes["bf16"] == pytest.approx(2 * shape.parameters, rel=0.001)
    assert sizes["f32"] == pytest.approx(4 * shape.parameters, rel=0.001)
    assert sizes["q8_0"] == pytest.approx(34 / 32 * shape.parameters, rel=0.001)


def test_only_what_cannot_be_merged_layer_by_layer_needs_the_memory_of_the_base() -> None:
    shape = shape_of("meta-llama/Meta-Llama-3-8B")
    plain, dora, whole, copied = (estimate_merge(shape, adapter) for adapter in (
        Adapter(), Adapter(use_dora=True), Adapter(method="adalora"), Adapter(method="none")))
    assert copied.total_bytes < plain.total_bytes < dora.total_bytes < 3e9
    assert whole.total_bytes > shape.parameters * 2
    assert len({found.disk_bytes for found in (plain, dora, whole, copied)}) == 1
    assert "largest layer" in plain.moment


@pytest.mark.skipif(sys.platform != "linux", reason="the constants were measured on Linux")
def test_a_process_that_merges_holds_and_writes_what_was_estimated(
    starter_model: Path, starter_adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    output = tmp_path / "merged"
    done = subprocess.run(
        [sys.executable, "-m", "tests.hardware.measured_job", "merge", str(settings.home), "-",
         str(starter_adapter), str(output)],
        capture_output=True, text=True, encoding="utf-8", check=True)
    peak = int(done.stdout.split()[-2])
    found = estimate_merge(model_shape(str(starter_model), settings), Adapter())
    assert found.total_bytes == pytest.approx(peak, rel=0.15)
    assert found.disk_bytes == pytest.approx(folder_bytes(output), rel=0.01)
