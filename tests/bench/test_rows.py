"""Published runs become the estimator's words; a row that cannot be read is named."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from studio.bench.rows import CONFIGS_FILE, ROWS_FILE, PublishedRun, read_runs
from studio.errors import DataError

ROW = {
    "id": "one", "source": "a page", "config_key": "tiny", "method": "lora", "rank": "8",
    "targets": "q_proj+v_proj", "micro_batch": "2", "seq_actual": "100", "grad_ckpt": "1",
    "optimizer": "adamw_torch", "base_dtype": "bfloat16", "metric": "max_memory_allocated",
    "value_gib": "1.5",
}
CONFIG = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
          "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
          "vocab_size": 256}


@pytest.fixture(scope="module")
def published() -> dict[str, PublishedRun]:
    return {run.name: run for run in read_runs()}


def _read(folder: Path, **changes: Any) -> PublishedRun:
    row = {**ROW, **changes}
    table, configs = folder / "rows.csv", folder / "configs.json"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    configs.write_text(json.dumps({"tiny": {"config": CONFIG}}), encoding="utf-8")
    return read_runs(table, configs)[0]


def test_every_run_that_comes_with_the_studio_is_read(published: dict[str, PublishedRun]) -> None:
    with ROWS_FILE.open(encoding="utf-8", newline="") as file:
        assert list(published) == [row["id"] for row in csv.DictReader(file)]
    assert len(published) == 106


def test_the_shapes_have_the_published_number_of_parameters(
    published: dict[str, PublishedRun],
) -> None:
    known = json.loads(CONFIGS_FILE.read_text(encoding="utf-8"))
    shapes = {run.config_key: run.shape for run in published.values()}
    assert len(shapes) == 13
    for name, shape in shapes.items():
        assert shape.parameters == pytest.approx(known[name]["params_total"], rel=0.002), name


def test_a_fused_loss_and_a_kernel_over_whole_logits_are_told_apart(
    published: dict[str, PublishedRun],
) -> None:
    assert published["fms-181"].work.loss == "fused"
    assert published["fms-177"].work.loss == "kernel"
    assert published["fms-033"].work.loss == "full"
    assert published["litgpt_tab-001"].work.loss == "half"


def test_the_logits_of_old_transformers_went_when_the_float_copy_came(
    published: dict[str, PublishedRun],
) -> None:
    assert published["fms-449"].work.logit_bytes == 12
    assert published["fms-033"].work.logit_bytes == 14


def test_old_bitsandbytes_kept_the_inputs_of_its_products(
    published: dict[str, PublishedRun],
) -> None:
    assert published["litgpt_tab-002"].work.keeps_quantized_inputs
    assert not published["litgpt_tab-001"].work.keeps_quantized_inputs
    assert not published["fms-057"].work.keeps_quantized_inputs


@pytest.mark.parametrize(("software", "kept"), [
    ("bitsandbytes 0.43.1", True), ("bnb 0.43.3", False), ("torch 2.1.1", True),
    ("torch 2.6.0", False), ("", False)])
def test_whether_inputs_were_kept_follows_from_the_software(
    tmp_path: Path, software: str, kept: bool
) -> None:
    work = _read(tmp_path, software=software, method="qlora4", base_dtype="nf4").work
    assert work.keeps_quantized_inputs is kept


@pytest.mark.parametrize(("parallel", "sharded"), [
    ("", "nothing"), ("ddp", "nothing"), ("zero2", "gradients"), ("fsdp", "weights"),
    ("deepspeed zero3", "weights")])
def test_what_several_gpus_divide_is_read(tmp_path: Path, parallel: str, sharded: str) -> None:
    work = _read(tmp_path, n_gpu="4", parallel=parallel).work
    assert (work.shards, work.sharded) == (4, sharded)


def test_double_quantization_is_read_from_the_number_format(
    published: dict[str, PublishedRun],
) -> None:
    assert not published["litgpt_tab-002"].work.double_quantization
    assert published["litgpt_tab-003"].work.double_quantization


@pytest.mark.parametrize(("metric", "counter"), [
    ("max_memory_allocated", "allocated"), ("max_memory_active", "allocated"),
    ("max_memory_reserved", "reserved"), ("nvidia-smi", "device")])
def test_a_counter_is_known_by_its_name(tmp_path: Path, metric: str, counter: str) -> None:
    assert _read(tmp_path, metric=metric).counter == counter


@pytest.mark.parametrize(("targets", "names"), [
    ("q_proj+v_proj", {"q_proj", "v_proj"}), ("q,v", {"q_proj", "v_proj"}),
    ("c_attn", {"q_proj", "k_proj", "v_proj"}),
    ("all-linear", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})])
def test_targets_are_found_in_the_model(tmp_path: Path, targets: str, names: set[str]) -> None:
    assert _read(tmp_path, targets=targets).work.targets == names


def test_the_adapter_is_counted(tmp_path: Path) -> None:
    assert _read(tmp_path).work.trainable == 2 * 8 * ((64 + 64) + (64 + 32))


@pytest.mark.parametrize(("text", "optimizer"), [
    ("adamw_torch", "adamw_torch"), ("PagedAdamW8bit", "paged_adamw_8bit"),
    ("bnb PagedAdamW", "paged_adamw"), ("adamw_bnb_8bit", "adamw_8bit"),
    ("adafactor", "adafactor"), ("SGD", "sgd")])
def test_an_optimizer_is_known_by_its_name(tmp_path: Path, text: str, optimizer: str) -> None:
    assert _read(tmp_path, optimizer=text).work.optimizer == optimizer


@pytest.mark.parametrize(("method", "base_dtype", "quantization"), [
    ("qlora4", "nf4", "4bit"), ("lora", "int8", "8bit"), ("lora", "bfloat16", "none")])
def test_quantization_is_read(
    tmp_path: Path, method: str, base_dtype: str, quantization: str
) -> None:
    work = _read(tmp_path, method=method, base_dtype=base_dtype).work
    assert work.quantization == quantization


@pytest.mark.parametrize(("changes", "vary"), [
    ({"notes": "variable lengths", "metric": "nvidia-smi"}, True),
    ({"packing": "1", "metric": "max_memory_reserved"}, False),
    ({"packing": "0", "metric": "max_memory_reserved"}, None)])
def test_whether_lengths_differ_may_be_unknown(
    tmp_path: Path, changes: dict[str, str], vary: bool | None
) -> None:
    assert _read(tmp_path, **changes).work.lengths_vary is vary


def test_a_number_that_is_none_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Line 2 of rows\.csv"):
        _read(tmp_path, value_gib="much")


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Line 2 of rows\.csv.*huge"):
        _read(tmp_path, config_key="huge")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("id,source\none,a page\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column config_key"):
        read_runs(table, CONFIGS_FILE)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_runs(tmp_path / "none.csv", CONFIGS_FILE)
