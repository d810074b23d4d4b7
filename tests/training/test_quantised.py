"""QLoRA: a base in 4 or 8 bits is trained for real, on the processor too.

What loading makes of a quantised base is in tests/models/test_quantised.py, what other adapters
learn on one in test_adapter_kinds_quantised.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.device import Device
from studio.hardware.simulate.optimizers import SMALLEST_8BIT
from studio.models import load_base
from studio.models.folder import ModelFolder
from studio.models.quantized import quantized_layers
from studio.presets import starter_recipe
from studio.recipe import Model, Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train
from studio.training.methods.supervised import labelled_positions, only_positions
from studio.training.rows import can_join_rows, measuring, pack
from tests.training.conftest import MakeRecipe, losses_of
from tests.training.test_rows import CPU, _dataset, _examples

BITS = ("4bit", "8bit")


def _adapted(folder: Path, bits: str, dtype: str) -> Any:
    """The base of `folder` with a LoRA in 32 bits that already says something."""
    import torch
    from peft import LoraConfig, get_peft_model

    wanted = Model(source=str(folder), quantization=bits, dtype=dtype)  # type: ignore[arg-type]
    base = load_base(wanted, ModelFolder(folder, "tiny", str(folder)), CPU)
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(r=8, target_modules="all-linear",
                                            init_lora_weights=False))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model.train()


def _unpacked(model: Any) -> Any:
    """`model` with plain linear layers that hold the numbers which the packed ones stand for."""
    import torch
    from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant

    packed = {id(layer) for layer in quantized_layers(model)}
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if id(layer) not in packed:
                continue
            weight = layer.weight
            plain = (dequantize_4bit(weight.data, weight.quant_state)
                     if hasattr(weight, "quant_state") else
                     int8_vectorwise_dequant(weight.data, layer.state.SCB))
            linear = torch.nn.Linear(layer.in_features, layer.out_features, bias=False)
            linear.weight = torch.nn.Parameter(plain.to(model.dtype), requires_grad=False)
            setattr(parent, name, linear)
    return model


def _loss_and_gradient(model: Any, rows: list[dict[str, Any]], joined: bool) -> tuple[float, Any]:
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    model.zero_grad()
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=joined)(rows)
    kept, tokens = labelled_positions(batch.pop("labels"))
    with only_positions(model.get_base_model().base_model, kept):
        logits = model(**batch, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[0].float(), tokens[0])
    loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return loss.item(), torch.cat(gradients)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_joined_packed_and_padded_rows_teach_what_the_unpacked_weights_would(
    tiny_model: Path, bits: str, dtype: str, tolerance: float
) -> None:
    model = _adapted(tiny_model, bits, dtype)
    padded, gradient = _loss_and_gradient(model, _examples(), joined=False)
    assert can_join_rows(model) and model.training
    for rows in (_examples(), list(pack(_dataset(), 20))):
        loss, other = _loss_and_gradient(model, rows, joined=True)
        assert loss == pytest.approx(padded, rel=tolerance)
        assert float((other - gradient).norm() / gradient.norm()) < tolerance
    loss, other = _loss_and_gradient(_unpacked(model), _examples(), joined=False)
    assert loss == pytest.approx(padded, rel=1e-6)
    assert float((other - gradient).norm() / gradient.norm()) < tolerance


@pytest.mark.parametrize("bits", BITS)
def test_what_is_measured_is_what_is_trained(tiny_model: Path, bits: str) -> None:
    import torch

    model = _adapted(tiny_model, bits, "float32")
    ids = torch.arange(12)[None]
    trained = model(input_ids=ids).logits
    with measuring(model):
        measured = model(input_ids=ids).logits
    assert torch.equal(trained, measured)


def _run(settings: Settings, recipe: Recipe, name: str) -> Run:
    run = create_run(settings, recipe, name)
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    return run


def _evaluations(run: Run) -> list[float]:
    return [event["loss"] for event in run.events() if event["type"] == "eval"]


def _reloaded(run: Run, base: Path, recipe: Recipe, device: Device = CPU) -> Any:
    """The run's adapter on its quantised base, by plain Transformers and PEFT."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from studio.models.quantized import quantization_config

    plain = AutoModelForCausalLM.from_pretrained(
        base, dtype=recipe.model.dtype, device_map={"": "cpu"},
        quantization_config=quantization_config(recipe.model, device))
    return PeftModel.from_pretrained(plain, str(run.adapter_path)).train()


def _held_out_loss(model: Any, recipe: Recipe, settings: Settings) -> float:
    """Per token, one example at a time, in plain Transformers."""
    import torch

    from studio.data.prepare import prepare
    from studio.models import find_model, load_tokenizer

    tokenizer = load_tokenizer(find_model(recipe.model.source, settings))
    held_out = prepare(recipe, tokenizer, settings).eval
    assert held_out is not None
    total, count = 0.0, 0
    for row in held_out:
        labels = torch.tensor([row["labels"]])
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([row["input_ids"]]), labels=labels).loss
        learned = int((labels[:, 1:] != -100).sum())
        total, count = total + float(loss) * learned, count + learned
    return total / count


@pytest.mark.parametrize("bits", BITS)
def test_the_loss_falls_and_plain_peft_measures_the_same_on_the_saved_adapter(
    settings: Settings, make_recipe: MakeRecipe, tiny_model: Path, bits: str
) -> None:
    from safetensors.torch import load_file

    recipe = make_recipe(model__quantization=bits, training__max_steps=24,
                         data__eval_fraction=0.2, training__eval_steps=12,
                         adapter__rank=32, training__learning_rate=1e-2,
                         training__gradient_checkpointing=True)
    run = _run(settings, recipe, "run")
    losses, evaluations = losses_of(run), _evaluations(run)
    assert losses[24] < losses[1] - 0.5
    assert evaluations[-1] < evaluations[0]
    saved = load_file(run.adapter_path / "adapter_model.safetensors")
    assert {str(weight.dtype) for weight in saved.values()} == {"torch.float32"}
    model = _reloaded(run, tiny_model, recipe)
    assert _held_out_loss(model, recipe, settings) == pytest.approx(evaluations[-1], rel=1e-4)


@pytest.mark.parametrize(("bits", "changes"), [
    ("4bit", {"adapter__dropout": 0.1, "model__dtype": "bfloat16"}),
    ("8bit", {"data__packing": True, "model__double_quantization": False}),
    ("4bit", {"training__optimizer": "paged_adamw_8bit", "adapter__rank": 64,
              "model__double_quantization": False}),
], ids=str)
def test_a_stopped_run_goes_on_to_the_very_losses_of_an_uninterrupted_one(
    settings: Settings, make_recipe: MakeRecipe, bits: str, changes: dict[str, Any]
) -> None:
    recipe = make_recipe(model__quantization=bits, training__max_steps=6, **changes)
    whole = losses_of(_run(settings, recipe, "whole"))
    parts = create_run(settings, recipe, "parts")
    assert train(recipe, parts, lambda: parts.story().step >= 3, settings=settings) == "stopped"
    assert 3 <= parts.story().step < 6
    assert train(recipe, parts, lambda: False, settings=settings, resume=True) == "done"
    assert losses_of(parts) == whole


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw_8bit"])
def test_8_bit_optimizers_keep_their_states_in_8_bits_on_a_processor(
    settings: Settings, make_recipe: MakeRecipe, optimizer: str
) -> None:
    import torch

    recipe = make_recipe(training__optimizer=optimizer, training__max_steps=3,
                         adapter__rank=64, training__save_steps=3)
    run = _run(settings, recipe, "run")
    state = torch.load(run.checkpoint_path / "checkpoint-3" / "optimizer.pt", weights_only=True)
    held = {str(tensor.dtype) for one in state["state"].values()
            for tensor in one["__bnb_optimizer_quant_state__"].values()
            if getattr(tensor, "ndim", 0) == 2 and tensor.numel() >= SMALLEST_8BIT}
    assert held == {"torch.uint8"}  # the two moments of every larger matrix
    plain = _run(settings, recipe.with_values({"training.optimizer": "adamw_torch"}), "plain")
    assert losses_of(run)[3] == pytest.approx(losses_of(plain)[3], rel=2e-2)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("changes", [
    {"adapter__use_dora": True, "training__gradient_checkpointing": True},
    {"adapter__use_rslora": True, "adapter__targets": "attention"},
], ids=str)
def test_variants_of_lora_learn_on_a_quantised_base(
    settings: Settings, make_recipe: MakeRecipe, bits: str, changes: dict[str, Any]
) -> None:
    recipe = make_recipe(model__quantization=bits, training__max_steps=5, **changes)
    losses = losses_of(_run(settings, recipe, "run"))
    assert losses[5] < losses[1]


@pytest.mark.slow
@pytest.mark.parametrize("bits", BITS)
def test_the_starter_model_learns_in_few_bits_and_is_the_same_when_reloaded(
    settings: Settings, starter_model: Path, bits: str
) -> None:
    recipe = starter_recipe().with_values({
        "model.source": str(starter_model), "model.quantization": bits,
        "model.dtype": "bfloat16", "training.max_steps": 12, "training.eval_steps": 6,
        "data.eval_fraction": 0.02, "monitor.sample_records": 0, "monitor.forgetting": False,
    })
    run = _run(settings, recipe, "run")
    losses, evaluations = losses_of(run), _evaluations(run)
    assert losses[12] < losses[1] / 2
    assert evaluations[-1] < evaluations[0]
    model = _reloaded(run, starter_model, recipe)
    assert _held_out_loss(model, recipe, settings) == pytest.approx(evaluations[-1], rel=2e-2)
