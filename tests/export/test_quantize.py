"""GPTQ and AWQ: what fits a model's shape is known before anything is loaded, and said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from studio.errors import DataError, ExportError, ModelError, SetupError
from studio.export import quantize
from studio.export.calibration import calibration_data, calibration_rows
from studio.export.origin import find_origin
from studio.export.pace import seconds_foretold
from studio.export.quantize import Rounding, write_quantized
from studio.export.quantize_shape import (
    group_sizes_for,
    plan_of,
    processor_seconds,
    quantized_bytes,
)
from studio.models.folder import ModelFolder
from studio.models.loading import load_tokenizer
from studio.models.shape import ModelShape, known_shape, shape_of_config
from studio.recipe import Data, Recipe, save_recipe
from studio.settings import Settings


def _shape(**changes: object) -> ModelShape:
    from transformers import LlamaConfig

    values = {"vocab_size": 64, "hidden_size": 128, "intermediate_size": 256,
              "num_hidden_layers": 2, "num_attention_heads": 4, **changes}
    return shape_of_config(LlamaConfig(**values), "a model")


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Sixty short examples."""
    file = tmp_path / "orders.jsonl"
    file.write_text("\n".join(json.dumps(
        {"prompt": f"What are {n} pizzas and a cola?", "completion": f"They are {n + 1} items."})
        for n in range(60)), encoding="utf-8")
    return file


def test_the_starter_takes_groups_of_64_and_32_since_128_do_not_divide_its_576_inputs() -> None:
    starter = known_shape("starter")
    assert starter is not None and starter.hidden == 576
    assert group_sizes_for(starter) == (64, 32)
    assert plan_of(starter, "gptq").group_size == 64
    with pytest.raises(ExportError) as refused:
        plan_of(starter, "awq", 128)
    assert "576" in refused.value.message and refused.value.hint == "Choose 64 or 32."


def test_a_model_whose_inputs_allow_it_is_rounded_in_groups_of_128() -> None:
    assert plan_of(_shape(), "awq").group_size == 128
    assert plan_of(_shape(), "awq", 32).group_size == 32


def test_layers_that_no_kernel_reads_keep_16_bits_and_are_named() -> None:
    plan = plan_of(_shape(intermediate_size=200), "gptq")
    assert {one.name for one in plan.kept} == {"gate_proj", "up_proj", "down_proj"}
    assert {one.name for one in plan.rounded} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert "down_proj (200 x 128)" in plan.notes[0]


def test_a_model_of_layers_too_odd_is_refused_with_what_else_there_is() -> None:
    with pytest.raises(ExportError, match="no layer that GPTQ can round") as refused:
        plan_of(_shape(hidden_size=120, intermediate_size=200), "gptq")
    assert "NF4" in refused.value.hint


def test_a_mixture_of_experts_and_transposed_layers_are_refused_by_name() -> None:
    from transformers import GPT2Config, Qwen3MoeConfig

    mixture = shape_of_config(Qwen3MoeConfig(
        vocab_size=64, hidden_size=64, intermediate_size=64, moe_intermediate_size=64,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, num_experts=4,
        head_dim=32, mlp_only_layers=[], decoder_sparse_step=1), "a mixture")
    gpt2 = shape_of_config(GPT2Config(vocab_size=64, n_embd=64, n_layer=1, n_head=2), "old")
    with pytest.raises(ExportError, match="mixture of experts"):
        plan_of(mixture, "awq")
    with pytest.raises(ExportError, match="Conv1D"):
        plan_of(gpt2, "awq")
    assert plan_of(gpt2, "gptq").group_size == 64
    with pytest.raises(ExportError, match="not a 4-bit format"):
        plan_of(gpt2, "marlin")


def test_smaller_groups_and_gptq_weigh_a_little_more(tiny_model: Path, settings: Settings) -> None:
    from studio.models.shape import model_shape

    shape = model_shape(str(tiny_model), settings)

    def size(format: str, group: int) -> int:
        return quantized_bytes(tiny_model, shape, plan_of(shape, format, group))

    assert size("awq", 64) < size("awq", 32) < size("gptq", 32)
    assert size("gptq", 32) < (tiny_model / "model.safetensors").stat().st_size / 2


def test_the_starter_takes_minutes_on_a_processor_and_a_large_model_hours() -> None:
    starter, large = known_shape("starter"), known_shape("Qwen/Qwen3-8B")
    assert starter is not None and large is not None
    assert 60 < processor_seconds(plan_of(starter, "gptq"), 32_768, cores=2) < 120
    assert 240 < processor_seconds(plan_of(starter, "gptq"), 8192, 20, cores=2) < 700
    assert 180 < processor_seconds(plan_of(starter, "awq"), 8192, cores=2) < 400
    assert processor_seconds(plan_of(large, "awq"), 8192, cores=8) > 3600
    foretold = [seconds_foretold(keys, starter, 0) for keys in ([], ["gptq"], ["gptq", "awq"])]
    assert foretold == sorted(set(foretold)) and foretold[0] == 0


def test_everything_is_checked_before_the_package_is_asked_for(
    tiny_model: Path, settings: Settings, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "is_installed", lambda module: False)
    output = settings.exports / "tiny-gptq"
    data = Data(source=str(orders))
    with pytest.raises(ExportError, match="A group size of 128 does not fit"):
        write_quantized(tiny_model, output, Rounding("gptq", data, 128), settings)
    with pytest.raises(ExportError, match="belongs to no run"):
        write_quantized(tiny_model, output, Rounding("gptq", None), settings)
    with pytest.raises(SetupError, match="AutoRound") as missing:
        write_quantized(tiny_model, output, Rounding("awq", data), settings)
    assert "-m pip install" in missing.value.hint and "auto-round-lib" in missing.value.hint
    assert not settings.exports.exists()


def test_the_model_is_measured_on_training_examples_as_the_trainer_saw_them(
    tiny_model: Path, settings: Settings, orders: Path
) -> None:
    tokenizer = load_tokenizer(ModelFolder(tiny_model, "tiny", str(tiny_model)))
    data = Data(source=str(orders), eval_fraction=0.5, max_length=40)
    rows = calibration_rows(data, tokenizer, settings, rows=4, row_tokens=50)
    assert [len(row) for row in rows] == [50] * 4
    assert rows == calibration_rows(data, tokenizer, settings, rows=4, row_tokens=50)
    text = tokenizer.decode(rows[0])
    assert text.startswith("<|im_start|>user") and "<|im_start|>assistant" in text
    everything = calibration_rows(data, tokenizer, settings, rows=1, row_tokens=100_000)
    taught = {n for n in range(60) if f"What are {n} pizzas" in tokenizer.decode(everything[0])}
    assert len(everything) == 1 and len(taught) == 30


def test_the_data_of_a_run_are_found_from_its_adapter_and_an_adapter_alone_has_none(
    tiny_model: Path, adapter: Path, settings: Settings, orders: Path
) -> None:
    run = settings.runs / "orders-1"
    shutil.copytree(adapter, run / "adapter")
    save_recipe(Recipe().with_values({"model.source": str(tiny_model),
                                      "data.source": str(orders)}), run / "recipe.yaml")
    found = calibration_data(find_origin(run))
    assert found is not None and found.source == str(orders)
    assert calibration_data(find_origin(adapter)) is None
    orders.unlink()
    tokenizer = load_tokenizer(ModelFolder(tiny_model, "tiny", str(tiny_model)))
    with pytest.raises(DataError):
        calibration_rows(found, tokenizer, settings, rows=4, row_tokens=50)


def test_a_stored_gptq_or_awq_folder_without_its_reader_is_a_sentence(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.device import Device
    from studio.models import prequantized
    from studio.models.loading import load_base
    from studio.recipe.model import Model

    folder = tmp_path / "tiny-awq"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 64}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setattr(prequantized, "is_installed", lambda module: False)
    with pytest.raises(SetupError, match="auto-round and auto-round-lib") as missing:
        load_base(Model(source=str(folder)), ModelFolder(folder, "tiny-awq", str(folder)),
                  Device("cpu", "CPU", "float32", 0))
    assert "-m pip install" in missing.value.hint
    with pytest.raises(ModelError):
        prequantized.stored_method(tmp_path)
