"""Merging and GGUF: the sizes of the files, and the memory of a process that really merges."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from studio.bench.lora_folders import make_lora_folders
from studio.export.gguf import GGUF_TYPES, write_gguf
from studio.export.merge_way import merge_outlook
from studio.export.origin import find_origin
from studio.export.plan import look_at
from studio.files import folder_bytes
from studio.hardware.export_memory import estimate_gguf
from studio.hardware.merge_memory import estimate_merge
from studio.models.shape import model_shape
from studio.recipe import Adapter
from studio.settings import Settings
from tests.adapters.families import config_of
from tests.chat.conftest import make_adapter
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


def _peak_bytes(adapter: Path, output: Path, settings: Settings) -> int:
    """Of a process that does nothing but merge."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hardware.measured_job", "merge", str(settings.home), "-",
         str(adapter), str(output)],
        capture_output=True, text=True, encoding="utf-8", check=True)
    return int(done.stdout.split()[-2])


@pytest.mark.skipif(sys.platform != "linux", reason="the constants were measured on Linux")
def test_a_process_that_merges_holds_and_writes_what_was_estimated(
    starter_model: Path, starter_adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    output = tmp_path / "merged"
    peak = _peak_bytes(starter_adapter, output, settings)
    found = estimate_merge(model_shape(str(starter_model), settings), Adapter())
    assert found.total_bytes == pytest.approx(peak, rel=0.15)
    assert found.disk_bytes == pytest.approx(folder_bytes(output), rel=0.01)
    outlook = merge_outlook(look_at(find_origin(starter_adapter), settings))
    assert outlook.way == "plain" and outlook.memory == found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the constants were measured on Linux")
@pytest.mark.parametrize(("options", "way"), [
    ({"use_dora": True}, "layers"), ({"init_lora_weights": "orthogonal"}, "whole"),
], ids=["layers", "whole"])
def test_what_the_plan_says_of_a_merge_is_what_its_process_holds(
    starter_model: Path, settings: Settings, tmp_path: Path, options: dict[str, Any], way: str
) -> None:
    adapter = make_adapter(starter_model, tmp_path / "adapter", seed=1, **options)
    outlook = merge_outlook(look_at(find_origin(adapter), settings))
    assert outlook.way == way
    peak = _peak_bytes(adapter, tmp_path / "merged", settings)
    assert outlook.memory.total_bytes == pytest.approx(peak, rel=0.15)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the constants were measured on Linux")
def test_experts_take_the_memory_of_their_layer_and_not_of_the_base(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    base = tmp_path / "mixture"
    shutil.copytree(tiny_model, base, ignore=shutil.ignore_patterns("*.safetensors", "config*"))
    config = config_of("mixtral", hidden_size=768, intermediate_size=2688, num_hidden_layers=4,
                       num_local_experts=8, vocab_size=512)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(base, max_shard_size="120MB")
    parameters = model.num_parameters()
    del model
    [adapter] = make_lora_folders(base, tmp_path / "adapters", 1, rank=8)
    outlook = merge_outlook(look_at(find_origin(adapter), settings))
    peak = _peak_bytes(adapter, tmp_path / "merged", settings)
    assert outlook.way == "layers"
    assert outlook.memory.total_bytes == pytest.approx(peak, rel=0.15)
    held = sum(piece.bytes for piece in outlook.memory.parts if piece.name != "overhead")
    assert held < 0.7 * 2 * parameters
