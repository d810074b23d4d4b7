"""The bench of merging: what it computes, and what it measures on."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.bench.lora_folders import make_lora_folders
from studio.bench.merge import Peak, Size, are_equal, compare, table
from studio.bench.random_model import make_random_model
from studio.models.folder import check_model_folder

STUDIO, PLAIN = "studio.bench.merge_process", "studio.bench.plain_merge"


def test_ratios_are_medians_of_the_same_moment_and_the_highest_peak_counts() -> None:
    """A round in which the PC was busy slows both ways, and its ratio is as good as any other."""
    rounds = [{STUDIO: 3.0, PLAIN: 10.0}, {STUDIO: 30.0, PLAIN: 100.0}, {STUDIO: 9.0, PLAIN: 10.0}]
    found = table(rounds, True, 900, [Peak("LoRA", 120, 90, 10), Peak("DoRA", 150, 90, 10)])
    assert math.isclose(found.time_ratio, 0.3)
    assert math.isclose(found.peak_over_largest_shard, 1.5)
    assert {"equal", "time_ratio", "peak_over_largest_shard", "machine"} <= json.loads(
        json.dumps(found.as_json())).keys()


def test_one_bit_makes_two_merges_unequal(tiny_model: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    assert are_equal(tiny_model, other)
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"][0] = torch.nextafter(tensors["model.norm.weight"][0],
                                                      torch.tensor(9.0))
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    assert not are_equal(tiny_model, other)
    del tensors["model.norm.weight"]
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    assert not are_equal(tiny_model, other)


@pytest.mark.parametrize("use_dora", [False, True])
def test_the_random_model_lies_in_several_files_and_loads_with_its_adapter(
    tmp_path: Path, use_dora: bool
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(vocab_size=300, hidden_size=32, num_attention_heads=4,
                         intermediate_size=64, num_key_value_heads=2, num_hidden_layers=2,
                         tie_word_embeddings=False)
    files = make_random_model(tmp_path / "model", config, shard_bytes=30_000)
    assert len(files) > 2
    check_model_folder(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="auto")
    assert model.dtype == torch.bfloat16 and float(model.lm_head.weight.std()) > 0.01
    [adapter] = make_lora_folders(tmp_path / "model", tmp_path, 1, rank=2, use_dora=use_dora)
    adapted = PeftModel.from_pretrained(model, str(adapter))
    assert adapted.peft_config["default"].use_dora is use_dora


@pytest.mark.slow
def test_all_is_measured_in_processes_of_their_own(tiny_model: Path, tmp_path: Path) -> None:
    found = compare(tmp_path, tiny_model,
                    Size(rounds=1, layers=2, hidden=512, shard_bytes=20_000_000))
    assert found.equal
    assert found.time_ratio > 0 and found.peak_over_largest_shard > 0
    assert [peak.name for peak in found.peaks] == ["LoRA", "DoRA"]
