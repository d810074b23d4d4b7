"""The estimate of a recipe: its parts, its range, its words, and what each setting changes."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from studio.device import Device
from studio.errors import ModelError
from studio.hardware.memory import Estimate, checkpointing_needed, estimate, verdict
from studio.hardware.parts import PartBytes
from studio.hardware.workload import Examples
from studio.recipe import Recipe
from tests.hardware.shapes import shape_of

GPU = Device("cuda", "NVIDIA RTX 4090", "bfloat16", 24_000_000_000)
CPU = Device("cpu", "CPU", "float32", 32_000_000_000)
LLAMA_7B = "meta-llama/Llama-2-7b-hf"
BASE = {"training.gradient_checkpointing": True, "training.batch_size": 1}


def need(changes: dict[str, Any] | None = None, device: Device = GPU, model: str = LLAMA_7B,
         **options: Any) -> Estimate:
    recipe = Recipe().with_values({**BASE, **(changes or {})})
    return estimate(recipe, shape_of(model), device, **options)


def part(found: Estimate, name: str) -> PartBytes:
    return next(piece for piece in found.parts if piece.name == name)


def test_every_part_is_there_and_they_add_up() -> None:
    found = need()
    assert [piece.name for piece in found.parts] == [
        "weights", "adapter", "gradients", "optimizer", "activations", "recomputation", "logits",
        "overhead", "slack"]
    assert found.total_bytes == sum(piece.bytes for piece in found.parts)
    assert found.low_bytes < found.total_bytes < found.high_bytes


def test_every_part_explains_itself_in_a_sentence_with_figures() -> None:
    for piece in need().parts:
        assert piece.formula.endswith(".")
        assert any(letter.isdigit() for letter in piece.formula) or piece.bytes == 0


def test_sixteen_bit_weights_take_two_bytes_each() -> None:
    assert part(need(), "weights").bytes == 2 * 6_738_415_616


def test_nf4_quantises_the_linear_layers_alone() -> None:
    weights = part(need({"model.quantization": "4bit"}), "weights").bytes
    outside = 2 * 32000 * 4096 + 65 * 4096  # embeddings, head, norms
    inside = 6_738_415_616 - outside
    assert weights == pytest.approx(0.5159 * inside + 2 * outside, rel=1e-3)


def test_adapters_are_float32_and_cost_sixteen_bytes_with_gradients_and_adam() -> None:
    found = need({"adapter.rank": 8, "adapter.targets": ["q_proj", "v_proj"]})
    trainable = 32 * 2 * 8 * (4096 + 4096)
    assert part(found, "adapter").bytes == 4 * trainable
    assert part(found, "optimizer").bytes == 8 * trainable


def test_eight_bit_adam_takes_a_quarter() -> None:
    plain = part(need(), "optimizer").bytes
    short = part(need({"training.optimizer": "adamw_8bit"}), "optimizer").bytes
    assert short == pytest.approx(plain / 4, rel=0.02)


def test_all_weights_are_trained_in_thirty_two_bits_unless_asked_otherwise() -> None:
    parameters = 6_738_415_616
    wide = need({"adapter.method": "none"})
    assert part(wide, "optimizer").bytes == 8 * parameters
    assert part(wide, "adapter").bytes == 0
    short = need({"adapter.method": "none", "model.dtype": "bfloat16"})
    assert part(short, "optimizer").bytes == 4 * parameters


@pytest.mark.parametrize("changes", [
    {"training.batch_size": 4}, {"data.max_length": 4096}, {"adapter.rank": 256},
    {"training.gradient_checkpointing": False}, {"model.attention": "eager"},
    {"adapter.dropout": 0.1, "training.gradient_checkpointing": False},
    {"model.dtype": "float32"}, {"adapter.method": "none"}, {"adapter.use_dora": True},
])
def test_what_costs_memory_costs_memory(changes: dict[str, Any]) -> None:
    assert need(changes).total_bytes > need().total_bytes


@pytest.mark.parametrize("changes", [
    {"model.quantization": "4bit"}, {"model.quantization": "8bit"},
    {"adapter.targets": "attention"}, {"data.max_length": 256}, {"adapter.rank": 1},
])
def test_what_saves_memory_saves_memory(changes: dict[str, Any]) -> None:
    assert need(changes).total_bytes < need().total_bytes


def test_gradient_accumulation_changes_nothing_for_an_adapter() -> None:
    one, many = ({"training.gradient_accumulation": count} for count in (1, 16))
    assert need(one).total_bytes == need(many).total_bytes


def test_qlora_of_a_7b_fits_where_lora_does_not() -> None:
    assert need({"model.quantization": "4bit"}).total_bytes < 10_000_000_000
    assert need().total_bytes > 13_000_000_000


def test_shorter_data_than_the_limit_is_taken_into_account() -> None:
    assert need(examples=Examples(100)).total_bytes < need().total_bytes
    assert need(examples=Examples(10**6)).total_bytes == need().total_bytes
    packed = {"data.packing": True}
    assert need(packed, examples=Examples(100)).total_bytes == need(packed).total_bytes


def test_automatic_checkpointing_goes_on_when_memory_asks_for_it() -> None:
    recipe = Recipe().with_values({"training.batch_size": 4})
    shape = shape_of(LLAMA_7B)
    assert not checkpointing_needed(recipe, shape, GPU, 200 * 10**9)
    assert checkpointing_needed(recipe, shape, GPU, 24 * 10**9)
    roomy = estimate(recipe, shape, GPU, free_bytes=200 * 10**9)
    tight = estimate(recipe, shape, GPU)
    assert (roomy.checkpointing, tight.checkpointing) == (False, True)
    assert tight.total_bytes < roomy.total_bytes


def test_the_processor_counts_libraries_instead_of_a_context() -> None:
    assert "libraries" in part(need(device=CPU), "overhead").formula
    assert "CUDA" in part(need(device=GPU), "overhead").formula


def test_examples_joined_in_one_row_pay_for_a_wider_mask() -> None:
    changes = {"training.batch_size": 8, "training.gradient_checkpointing": False}
    alone = need({**changes, "training.batch_size": 1}, CPU, "small-llama")
    joined = need(changes, CPU, "small-llama")
    assert part(joined, "activations").bytes > 8 * part(alone, "activations").bytes


MEASURED_ON_A_CPU = [
    # batch, length, checkpointing, every weight; peak resident bytes of two steps of TRL 1.16,
    # SmolLM2-135M's shape in float32, torch 2.13, glibc, every token carrying loss
    (2, 256, False, False, 2_944_000_000),
    (4, 256, False, False, 4_869_000_000),
    (4, 512, True, False, 5_536_000_000),
    (2, 256, False, True, 3_771_000_000),
]


@pytest.mark.parametrize(("batch", "length", "checkpointing", "full", "peak"), MEASURED_ON_A_CPU)
def test_runs_measured_on_a_processor_are_met_within_a_tenth(
    batch: int, length: int, checkpointing: bool, full: bool, peak: int
) -> None:
    found = need({
        "training.batch_size": batch, "data.max_length": length, "data.loss_on": "all",
        "training.gradient_checkpointing": checkpointing, "training.gradient_accumulation": 1,
        "adapter.method": "none" if full else "lora", "speed.fused_layers": False,
    }, CPU, "starter")
    assert found.total_bytes == pytest.approx(peak, rel=0.1)


FUSED_ON_A_CPU = [
    # batch, length, checkpointing; peak resident bytes of two steps with fused layers, all else as
    # above
    (4, 256, False, 2_107_000_000),
    (8, 256, False, 2_818_000_000),
    (4, 256, True, 1_450_000_000),
    (8, 512, True, 2_017_000_000),
]


@pytest.mark.parametrize(("batch", "length", "checkpointing", "peak"), FUSED_ON_A_CPU)
def test_fused_runs_measured_on_a_processor_are_met_within_a_tenth(
    batch: int, length: int, checkpointing: bool, peak: int
) -> None:
    found = need({
        "training.batch_size": batch, "data.max_length": length, "data.loss_on": "all",
        "training.gradient_checkpointing": checkpointing, "training.gradient_accumulation": 1,
    }, CPU, "starter")
    assert found.total_bytes == pytest.approx(peak, rel=0.1)


@pytest.mark.parametrize("changes", [
    {"speed.fused_layers": False}, {"adapter.dropout": 0.1}, {"adapter.use_dora": True},
    {"adapter.method": "none"},
])
def test_what_is_not_fused_needs_more(changes: dict[str, Any]) -> None:
    same = {"training.gradient_checkpointing": False, "model.dtype": "float32"}
    assert need({**same, **changes}, CPU, "starter").total_bytes > (
        need(same, CPU, "starter").total_bytes)


def test_a_gpu_fuses_adapters_only_when_asked() -> None:
    same = {"training.gradient_checkpointing": False}
    asked = need({**same, "speed.fused_layers": True}, GPU)
    assert need({**same, "speed.fused_layers": False}, GPU) == need(same, GPU)
    assert part(asked, "activations").bytes < part(need(same, GPU), "activations").bytes
    assert part(asked, "logits").bytes == part(need(same, GPU), "logits").bytes


def test_scores_that_are_more_than_a_product_are_not_made_in_one_pass() -> None:
    assert "in one pass" in part(need(device=CPU, model="starter"), "logits").formula
    for changes in ({"speed.skip_prompt_logits": False}, {"training.method": "dpo"},
                    {"speed.fused_layers": False}):
        assert "in tiles" in part(need(changes, CPU, "starter"), "logits").formula


def test_the_system_takes_large_blocks_back_and_keeps_small_ones() -> None:
    large = {"data.max_length": 4096, "training.batch_size": 32}
    assert part(need(large, CPU), "slack").bytes == 0
    assert part(need({"data.max_length": 256}, CPU), "slack").bytes > 0


def test_the_verdict_is_a_sentence_from_comfortable_to_impossible() -> None:
    found = need()
    words = [verdict(found, round(found.high_bytes * share)).split(":")[0]
             for share in (2.0, 1.1, found.total_bytes / found.high_bytes * 1.01, 0.3)]
    assert words == ["Fits comfortably", "Fits", "Tight", "Does not fit"]


def test_the_estimate_is_plain_data_with_the_promised_keys() -> None:
    found = json.loads(json.dumps(need().to_dict(24 * 10**9)))
    assert {"total_bytes", "low_bytes", "high_bytes", "parts", "free_bytes", "fits"} <= set(found)
    assert found["fits"] is True
    assert need().to_dict(10**9)["fits"] is False
    assert sum(found["parts"].values()) == found["total_bytes"]
    assert set(found["formulas"]) == set(found["parts"])


def test_targets_that_the_model_does_not_have_are_an_error() -> None:
    with pytest.raises(ModelError):
        need({"adapter.targets": ["no_such_module"]})


def test_an_estimate_takes_a_moment_only() -> None:
    need()
    before = time.thread_time()
    for _ in range(20):
        need()
    # Processor time of this thread alone, so a busy machine does not decide.
    assert (time.thread_time() - before) / 20 < 0.02
