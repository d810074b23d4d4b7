"""The simulated step: what it counts, that few layers stand for many, that it disturbs nobody."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studio import recipe as recipes
from studio.device import Device
from studio.errors import Stopped
from studio.hardware.memory import estimate
from studio.hardware.parts import PartBytes
from studio.hardware.simulate.counting import LiveBytes, watching
from studio.hardware.simulate.layers import Pattern, pattern_of
from studio.hardware.simulate.result import Simulated, difference
from studio.hardware.simulate.simulation import WORKSPACE_BYTES, simulate, simulate_recipe
from studio.hardware.workload import Workload
from studio.models.shape import model_shape, shape_of_config
from studio.settings import Settings

GPU = Device("cuda", "a GPU", "bfloat16", 24 * 10**9)
SIZES: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 352, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 512, "head_dim": 32,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}
FULL = Workload(
    device="cuda", batch=2, length=64, dtype="bfloat16", weight_bytes=2, activation_bytes=2,
    trainable_bytes=2, trains_base=True, trainable=0, rank=0, targets=frozenset(),
    optimizer="adamw_torch", checkpointing=True, attention="sdpa", loss="chunked",
    has_triton=True, foreach_optimizer=True,
)
LORA = replace(FULL, trainable_bytes=4, trains_base=False, rank=8, checkpointing=False,
               targets=frozenset({"q_proj", "v_proj", "down_proj"}))


def config(model_type: str = "llama", layers: int = 8, **extra: Any) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(model_type, **{**SIZES, "num_hidden_layers": layers, **extra})


def test_storages_are_counted_once_and_until_their_last_tensor_is_gone() -> None:
    import torch

    live = LiveBytes(block=1)
    with watching(live):
        table = torch.empty(100, 50, device="meta")
        assert live.total == 20_000
        row = table.view(-1)[:10]
        table.add_(1)
        assert live.total == 20_000, "views and results in place are no new storages"
        del table
        assert live.total == 20_000, "the view still holds it"
        del row
        assert live.total == 0
    torch.empty(1000, device="meta")
    assert live.total == 0, "outside the block nothing is counted"


def test_what_autograd_holds_is_alive_until_the_backward_pass_is_over() -> None:
    import torch

    live = LiveBytes(block=1)
    with watching(live):
        weight = torch.empty(30, 20, device="meta", requires_grad=True)
        rows = torch.empty(10, 20, device="meta")
        out = torch.relu(rows @ weight.t())
        del rows
        # The weight, the rows it was multiplied with, and the result; relu keeps only its result.
        assert live.total == 4 * (600 + 200 + 300)
        out.sum().backward()
        del out
        assert live.total == 4 * (600 + 600), "the weight and its gradient"
        # Gradients: a number, expanded to the result's size, and relu's own, beside the product.
        assert max(sum(kinds.values()) for kinds in live.peaks.values()) >= 4 * (600 + 200 + 600)


def test_sizes_are_rounded_up_to_what_the_allocator_hands_out() -> None:
    import torch

    live = LiveBytes()
    with watching(live):
        small = torch.empty(3, device="meta")
        assert live.total == 512
        del small


@pytest.mark.parametrize(("model_type", "extra", "work"), [
    ("llama", {}, FULL), ("llama", {}, LORA), ("qwen3", {}, replace(LORA, checkpointing=True)),
    ("llama", {"tie_word_embeddings": True}, replace(FULL, accumulates=True)),
    # Under autocast every weight has a copy until the loss is there, and none after it.
    ("llama", {"num_hidden_layers": 20}, replace(
        FULL, weight_bytes=4, trainable_bytes=4, autocast=True, batch=1, length=32)),
    ("gemma3_text", {"layer_types": ["sliding_attention", "sliding_attention",
                                     "full_attention"] * 3, "num_hidden_layers": 9}, LORA),
    ("qwen3_moe", {"decoder_sparse_step": 2, "num_experts": 4, "num_experts_per_tok": 2,
                   "moe_intermediate_size": 96, "num_hidden_layers": 9}, FULL),
    ("llama", {}, replace(LORA, quantization="4bit", checkpointing=True, loss="full")),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_few_layers_stand_for_all_exactly(model_type: str, extra: dict[str, Any],
                                            work: Workload) -> None:
    asked = config(model_type, **extra)
    few, every = simulate(work, asked), simulate(work, asked, all_layers=True)
    assert few.parts == every.parts
    assert few.layers_run < 2 * every.layers_run
    assert every.layers_run == few.layers == asked.num_hidden_layers


def test_layers_that_alternate_are_found() -> None:
    plain, window = config(layers=12), config(
        "gemma2", 12, layer_types=["sliding_attention", "full_attention"] * 6)
    assert pattern_of(shape_of_config(plain), plain) == Pattern(12, 0, 1)
    assert pattern_of(shape_of_config(window), window) == Pattern(12, 0, 2)
    mixed = config("qwen3_moe", 12, mlp_only_layers=[0, 1], num_experts=4)
    assert pattern_of(shape_of_config(mixed), mixed) == Pattern(12, 2, 1)


def test_seventy_billion_parameters_take_as_few_layers_as_seven() -> None:
    shape = {"hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64,
             "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 32000}
    found = simulate(replace(LORA, quantization="4bit", checkpointing=True, length=4096, batch=1),
                     config(layers=80, **shape))
    assert found.layers_run == 7 and found.layers == 80
    # 68.5 billion linear weights at 0.516 bytes, and half a billion around them at 2.
    assert found.parts["weights"] == pytest.approx(68.45e9 * 0.5159 + 0.5253e9 * 2, rel=0.002)


def test_full_tuning_peaks_at_ten_bytes_a_parameter_with_foreach_and_eight_without() -> None:
    asked = config(layers=6, hidden_size=512, intermediate_size=1408)
    parameters = shape_of_config(asked).parameters
    many = simulate(replace(FULL, batch=1, length=8), asked)
    assert many.moment == "the optimizer's step"
    assert many.peak_bytes - WORKSPACE_BYTES == pytest.approx(10 * parameters, rel=0.01)
    one = simulate(replace(FULL, batch=1, length=8, foreach_optimizer=False), asked)
    assert one.peak_bytes < many.peak_bytes - parameters


@pytest.mark.parametrize(("optimizer", "state_bytes"), [
    ("adamw_torch", 8.0), ("adamw_8bit", 2.03), ("adafactor", 0.02),
])
def test_each_optimizer_keeps_what_its_library_makes(optimizer: str, state_bytes: float) -> None:
    asked = config(layers=4, hidden_size=512, intermediate_size=1408)
    work = replace(FULL, weight_bytes=4, activation_bytes=4, trainable_bytes=4, dtype="float32",
                   optimizer=optimizer, foreach_optimizer=False, length=512)
    shape = shape_of_config(asked)
    found = simulate(work, asked)
    assert found.moment != "the optimizer's step"
    inside = shape.parameters - 512 * 512
    # An embedding keeps its states in 32 bits under an 8-bit optimizer.
    outside = 512 * 512 * (8 if optimizer == "adamw_8bit" else state_bytes)
    assert found.parts["optimizer"] == pytest.approx(inside * state_bytes + outside,
                                                     abs=0.02 * shape.parameters)


def test_a_paged_optimizer_keeps_only_small_states_on_the_device() -> None:
    asked = config(layers=4, hidden_size=512, intermediate_size=1408)
    counts = [math.prod(size) for size in shape_of_config(asked).tensors.values()]
    small = sum(count for count in counts if count < 100_000)
    found = simulate(replace(FULL, optimizer="paged_adamw_8bit"), asked)
    assert found.parts["optimizer"] == pytest.approx(2.03 * small, rel=0.05)


def test_checkpointing_quantising_and_shorter_rows_need_less() -> None:
    asked = config(layers=6, vocab_size=64)
    work = replace(LORA, length=512)
    plain = simulate(work, asked)
    assert simulate(replace(work, checkpointing=True), asked).peak_bytes < plain.peak_bytes
    assert simulate(replace(work, quantization="4bit"), asked).parts["weights"] < \
        simulate(replace(work, quantization="8bit"), asked).parts["weights"] < \
        plain.parts["weights"]
    assert simulate(replace(work, length=256), asked).peak_bytes < plain.peak_bytes
    eager = simulate(replace(work, attention="eager"), asked)
    # Scores as made and as probabilities, of every row, head and layer: nothing of it with SDPA.
    assert eager.parts["activations"] - plain.parts["activations"] > 6 * 2 * 4 * 512**2 * 4
    assert simulate(replace(work, dropout=True), asked).peak_bytes > plain.peak_bytes
    assert simulate(replace(work, dora=True), asked).peak_bytes > plain.peak_bytes


def test_losses_over_whole_logits_need_more_than_tiles() -> None:
    asked = config(layers=4, vocab_size=32000)
    peaks = {loss: simulate(replace(LORA, checkpointing=True, length=2048, loss=loss),
                            asked).peak_bytes
             for loss in ("fused", "kernel", "half", "full")}
    assert peaks["fused"] < peaks["kernel"] < peaks["half"] < peaks["full"]
    logits = 2 * 2048 * 32000
    assert peaks["full"] - peaks["kernel"] == pytest.approx(12 * logits, rel=0.02)


def test_it_runs_beside_other_work_and_leaves_no_trace() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    seen: list[Any] = []

    def background() -> None:
        seen.append(simulate(replace(LORA, checkpointing=True, dropout=True, length=96), config()))

    worker = threading.Thread(target=background)
    worker.start()
    while worker.is_alive():
        # Another thread's tensors stay on the processor and in torch's default number format.
        product = torch.nn.functional.linear(torch.ones(8, 8), torch.ones(8, 8))
        assert product.device.type == "cpu" and product.dtype == torch.float32
        assert product.sum() == 512
    worker.join()
    assert torch.equal(torch.randn(4), expected), "no random number was drawn"
    assert seen and seen[0].peak_bytes > 0


def test_it_can_be_stopped() -> None:
    with pytest.raises(Stopped):
        simulate(replace(LORA, length=80), config(), stop=lambda: True)


def test_a_recipe_is_simulated_and_its_estimate_agrees(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    asked = recipes.Recipe()
    shape = model_shape(asked.model.source, settings)
    guess = estimate(asked, shape, GPU)
    found = simulate_recipe(asked, settings, GPU)
    assert found.parts["weights"] == pytest.approx(shape.parameters * 2, rel=0.01)
    assert guess.allocated_bytes == pytest.approx(found.peak_bytes, rel=0.1)
    again = simulate_recipe(asked, settings, GPU)
    assert again is found, "what was found is remembered"


def test_differences_above_five_percent_of_the_peak_are_named() -> None:
    guess = estimate(recipes.Recipe(), shape_of_config(config()), GPU)
    pieces = {"weights": 600, "activations": 300, "logits": 100, "overhead": 999, "slack": 50}
    guess = replace(guess, parts=tuple(PartBytes(name, size, "") for name, size in pieces.items()),
                    allocated_bytes=1000)
    simulated = Simulated(1000, {"weights": 610, "activations": 200, "logits": 190}, "the loss",
                          1.0, 7, 32)
    rows = difference(guess, simulated)
    assert [row.name for row in rows] == ["activations", "logits"]
    assert rows[0].share == pytest.approx(0.5)
    assert difference(guess, simulated, above=0.2) == []


def test_several_gpus_divide_what_they_are_said_to_divide() -> None:
    asked, work = config(layers=4), replace(FULL, foreach_optimizer=False)
    alone = simulate(work, asked)
    divided = simulate(replace(work, shards=4, sharded="optimizer"), asked)
    assert divided.parts["optimizer"] == alone.parts["optimizer"] // 4
    assert divided.parts["weights"] == alone.parts["weights"]
    every = simulate(replace(work, shards=4, sharded="weights"), asked)
    assert every.parts["weights"] == alone.parts["weights"] // 4 + alone.parts["weights"] // 4


def test_master_weights_are_a_copy_and_two_states_of_four_bytes() -> None:
    asked = config(layers=4)
    found = simulate(replace(FULL, master_weights=True), asked)
    assert found.parts["optimizer"] == pytest.approx(
        12 * shape_of_config(asked).parameters, rel=0.02)
