"""Rows without padding and packed rows teach what padded ones teach."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from studio.data.columns import longest
from studio.device import Device
from studio.hardware.precision import choose_precision
from studio.hardware.workload import Examples
from studio.recipe import Recipe
from studio.training.attention import ROWS
from studio.training.choices import (
    choose_checkpointing,
    choose_joined_rows,
)
from studio.training.methods.supervised import labelled_positions, only_positions
from studio.training.rows import can_join_rows, measuring, pack

CPU = Device("cpu", "CPU", "bfloat16", 16_000_000_000)
OLD_GPU = Device("cuda", "an older GPU", "float16", 8_000_000_000)


@pytest.fixture
def model(tiny_model: Path) -> Any:
    import torch
    from transformers import LlamaForCausalLM

    loaded = LlamaForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    with torch.no_grad():
        for parameter in loaded.parameters():
            # Livelier than the start values, so that attention has something to show.
            parameter.mul_(4)
    return loaded.eval()


def _examples() -> list[dict[str, list[int]]]:
    examples = []
    for length in (9, 4, 13, 6):
        ids = [(17 * length + 7 * at) % 300 for at in range(length)]
        examples.append({"input_ids": ids, "labels": [-100] * (length // 2)
                         + ids[length // 2:]})
    return examples


def _dataset() -> Any:
    import datasets

    return datasets.Dataset.from_list(_examples())


def _loss_and_gradient(model: Any, rows: list[dict[str, Any]], joined: bool) -> tuple[float, Any]:
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    model = copy.deepcopy(model)
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=joined)(rows)
    labels = batch.pop("labels")
    kept, tokens = labelled_positions(labels)
    with only_positions(model.base_model, kept):
        logits = model(**batch, use_cache=False).logits
    assert logits.shape[:2] == tokens.shape
    loss = torch.nn.functional.cross_entropy(logits[0], tokens[0])
    loss.backward()
    return float(loss), torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("attention", ["sdpa", ROWS, "eager"])
def test_joined_and_packed_rows_give_the_loss_and_the_gradient_of_padded_ones(
    model: Any, attention: str
) -> None:
    import torch

    padded, gradient = _loss_and_gradient(model, _examples(), joined=False)
    packed_rows = list(pack(_dataset(), 20))
    assert len(packed_rows) == 2 and sum(len(row["seq_lengths"]) for row in packed_rows) == 4
    assert can_join_rows(model) and model.config._attn_implementation == ROWS
    model.set_attn_implementation(attention)
    again, _ = _loss_and_gradient(model, _examples(), joined=False)
    assert again == pytest.approx(padded, rel=1e-5)
    for rows in (_examples(), packed_rows):
        loss, other = _loss_and_gradient(model, rows, joined=True)
        assert loss == pytest.approx(padded, rel=1e-5)
        assert torch.allclose(other, gradient, rtol=1e-3, atol=1e-5)


def test_layers_with_a_window_see_no_further_in_a_joined_row() -> None:
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    windowed = MistralForCausalLM(MistralConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=3,
    )).eval()
    padded, gradient = _loss_and_gradient(windowed, _examples(), joined=False)
    assert can_join_rows(windowed)
    loss, other = _loss_and_gradient(windowed, _examples(), joined=True)
    assert loss == pytest.approx(padded, rel=1e-5)
    assert torch.allclose(other, gradient, rtol=1e-3, atol=1e-5)


def test_the_row_attention_still_generates(model: Any) -> None:
    import torch

    prompt = {"input_ids": torch.arange(5)[None], "attention_mask": torch.ones(1, 5).long()}
    before = model.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert can_join_rows(model)
    assert model.generate(**prompt, max_new_tokens=8, do_sample=False).tolist() == before.tolist()


def test_the_loss_at_labelled_positions_is_the_model_s_own_loss(model: Any) -> None:
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    batch = DataCollatorForLanguageModeling(pad_token_id=0)(_examples())
    with torch.no_grad():
        own = float(model(**batch).loss)
    assert _loss_and_gradient(model, _examples(), joined=False)[0] == pytest.approx(own, rel=1e-5)


def test_a_batch_without_labels_still_has_a_position() -> None:
    import torch

    kept, tokens = labelled_positions(torch.full((2, 5), -100))
    assert int(kept.sum()) == 1 and tokens.tolist() == [[-100]]


def test_a_model_that_ignores_where_examples_begin_is_found_out(model: Any) -> None:
    forward = model.forward
    model.forward = lambda input_ids, **others: forward(input_ids=input_ids)
    assert not can_join_rows(model)
    assert model.config._attn_implementation == "sdpa"
    model.forward = lambda input_ids: forward(input_ids=input_ids)
    assert not can_join_rows(model)


def test_measuring_leaves_4bit_weights_trainable(tiny_model: Path) -> None:
    import torch

    from studio.models.loading import load_base
    from studio.models.source import ModelFolder
    from studio.recipe import Model

    wanted = Model(source=str(tiny_model), quantization="4bit", dtype="bfloat16")
    base = load_base(wanted, ModelFolder(tiny_model, "tiny", str(tiny_model)), CPU)
    with measuring(base):
        base(input_ids=torch.arange(6)[None])
    base.train()
    hidden = base.get_input_embeddings()(torch.arange(6)[None]).detach().requires_grad_()
    base(inputs_embeds=hidden).logits.float().square().sum().backward()
    assert hidden.grad is not None and float(hidden.grad.abs().sum()) > 0
    states = [module.weight.quant_state for module in base.modules()
              if type(module).__name__ == "Linear4bit"]
    assert states and not any(getattr(s, "packing_format_for_cpu", False) for s in states)


def test_the_longest_example_is_found() -> None:
    assert longest(_dataset()) == 13


def test_rows_are_joined_on_a_cpu_unless_they_grow_too_long() -> None:
    recipe = Recipe().with_values({"training.batch_size": 8})
    assert choose_joined_rows(recipe, CPU, 300, "sdpa")[0]
    assert not choose_joined_rows(recipe, CPU, 2000, "sdpa")[0]
    assert not choose_joined_rows(recipe, OLD_GPU, 300, "sdpa")[0]
    assert choose_joined_rows(recipe, OLD_GPU, 300, "flash_attention_2")[0]
    assert choose_joined_rows(recipe.with_values({"data.packing": True}), OLD_GPU, 1, "sdpa")[0]


def test_activations_are_computed_twice_only_when_memory_asks_for_it(tiny_model: Path) -> None:
    from studio.models.shape import model_shape
    from studio.settings import Settings

    shape = model_shape(str(tiny_model), Settings(home=tiny_model / "home"))

    def choice(recipe: Recipe, free_bytes: int) -> bool:
        return choose_checkpointing(recipe, shape, CPU, free_bytes=free_bytes,
                                    examples=Examples(100))[0]

    asked = Recipe().with_values({"training.gradient_checkpointing": True})
    assert choice(asked, 10**12)
    assert not choice(Recipe(), 10**12)
    assert choice(Recipe(), 10**6)


def test_the_number_format_is_the_fast_one_and_what_is_trained_keeps_32_bits() -> None:
    auto, every = Recipe(), Recipe().with_values({"adapter.method": "none"})
    assert choose_precision(auto, CPU).base_dtype == "bfloat16"
    assert choose_precision(auto, CPU).autocast is None
    assert choose_precision(auto, OLD_GPU).autocast == "float16"
    assert choose_precision(every, CPU).base_dtype == "float32"
    assert choose_precision(every, CPU).autocast == "bfloat16"
    assert choose_precision(every, OLD_GPU).autocast == "float16"


def test_16_bit_floats_of_the_old_kind_are_refused_on_a_cpu() -> None:
    from studio.errors import RecipeError

    with pytest.raises(RecipeError, match="float16"):
        choose_precision(Recipe().with_values({"model.dtype": "float16"}), CPU)
