"""Make it fit: what it promises holds over many models, cards and recipes."""

from __future__ import annotations

import functools
import time
from typing import Any

import pytest

from studio.device import Device
from studio.hardware.cards import cards, find_card, place_on
from studio.hardware.fit import Fit, least_bytes, make_fit, with_cut_share
from studio.hardware.fit_advice import largest_model, smallest_card, what_would_fit
from studio.hardware.fit_steps import STEPS
from studio.hardware.memory import estimate
from studio.hardware.workload import Examples
from studio.models.shape import ModelShape
from studio.recipe import Recipe
from tests.hardware.shapes import shape_of

GB = 10**9
LLAMA_7B = "meta-llama/Llama-2-7b-hf"
MODELS = ("starter", "ibm/PowerLM-3b", LLAMA_7B, "Qwen/Qwen-14B")
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "long and wide": {"data.max_length": 4096, "adapter.rank": 128, "adapter.alpha": 256,
                      "training.gradient_checkpointing": False, "training.batch_size": 6},
    "every weight": {"adapter.method": "none", "training.gradient_accumulation": 1},
    "odd": {"training.batch_size": 7, "training.gradient_accumulation": 3,
            "adapter.use_rslora": True, "adapter.targets": ["q_proj", "v_proj"],
            "model.attention": "eager", "data.packing": True},
}
FREE_GB = (2, 5, 7.4, 11, 15, 24, 45, 80, 150)
DEVICES = (Device("cuda", "RTX", "bfloat16", 24 * GB), Device("cuda", "T4", "float16", 16 * GB),
           Device("cpu", "CPU", "float32", 64 * GB))


def fit(changes: dict[str, Any], model: str, free_gb: float, device: Device = DEVICES[0],
        **options: Any) -> Fit:
    options.setdefault("has_bitsandbytes", True)
    recipe = Recipe().with_values(changes)
    return make_fit(recipe, shape_of(model), device, round(free_gb * GB), **options)


@functools.cache
def on_the_grid(name: str) -> list[tuple[str, Device, Fit]]:
    """A recipe on every model, device and amount of free memory."""
    return [(model, device, fit(RECIPES[name], model, free, device))
            for model in MODELS for device in DEVICES for free in FREE_GB]


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_said_to_fit_fits_and_keeps_the_effective_batch(name: str) -> None:
    asked = Recipe().with_values(RECIPES[name])
    for model, device, found in on_the_grid(name):
        need = estimate(found.recipe, shape_of(model), device, free_bytes=found.free_bytes)
        assert need == found.after
        assert found.fits == (need.high_bytes <= found.free_bytes)
        assert found.recipe.training.effective_batch_size == asked.training.effective_batch_size
        assert sum(change.saved_bytes for change in found.changes) == (
            found.before.total_bytes - found.after.total_bytes)
    assert {found.fits for _, _, found in on_the_grid(name)} == {True, False}


@pytest.mark.parametrize("name", RECIPES)
def test_no_change_could_be_left_out(name: str) -> None:
    tree = Recipe().with_values(RECIPES[name]).model_dump(mode="json")

    def as_before(key: str) -> Any:
        section, _, field = key.partition(".")
        return tree[section][field]

    tried = 0
    for model, device, found in on_the_grid(name):
        for change in found.changes if found.fits else ():
            without = found.recipe.with_values({key: as_before(key) for key in change.values})
            need = estimate(without, shape_of(model), device, free_bytes=found.free_bytes)
            assert need.high_bytes > found.free_bytes, (model, device.name, change)
            tried += 1
    assert tried


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_is_changed_without_need_or_without_being_named(name: str) -> None:
    asked = Recipe().with_values(RECIPES[name])
    for model, device, found in on_the_grid(name):
        need = estimate(asked, shape_of(model), device, free_bytes=found.free_bytes)
        assert found.before == need
        assert found.fitted_already == (need.high_bytes <= found.free_bytes)
        assert not (found.fitted_already and found.changes)
        named = {key: new for change in found.changes for key, new in change.values.items()}
        assert found.recipe == asked.with_values(named)


def test_more_free_memory_never_asks_for_more_than_less_did() -> None:
    """Whatever fits somewhere also fits where more is free."""
    for name in RECIPES:
        for model in MODELS:
            answers = [fit(RECIPES[name], model, free).fits for free in FREE_GB]
            assert answers == sorted(answers)


def test_the_least_that_must_be_free_is_where_it_begins_to_fit() -> None:
    for model in MODELS:
        least = least_bytes(Recipe(), shape_of(model), DEVICES[0], has_bitsandbytes=True)
        assert fit({}, model, least / GB).fits
        assert not fit({}, model, (least - 1) / GB).fits


def keys(found: Fit) -> list[str]:
    return [change.key for change in found.changes]


def test_checkpointing_alone_is_enough_where_it_is() -> None:
    found = fit({"training.gradient_checkpointing": False}, LLAMA_7B, 24)
    assert keys(found) == ["training.gradient_checkpointing"]
    assert "about a third slower" in found.changes[0].why


def test_the_micro_batch_shrinks_no_further_than_needed() -> None:
    start = {"training.batch_size": 16, "training.gradient_accumulation": 2,
             "data.max_length": 4096}
    found = fit(start, LLAMA_7B, 30)
    assert keys(found) == ["training.batch_size"]
    change = found.changes[0]
    assert 1 < change.new < 16
    assert change.along == (("training.gradient_accumulation", 2, 32 // change.new),)
    assert "effective batch stays at 32" in change.why


def test_a_7b_on_a_small_card_becomes_qlora_and_small_savings_are_not_asked_for() -> None:
    found = fit({}, LLAMA_7B, 11)
    assert found.fits
    assert "model.quantization" in keys(found)
    # An adapter of rank 16 has so little optimizer state that 8 bits would not matter.
    assert "training.optimizer" not in keys(found)
    assert "adapter.rank" not in keys(found)


def test_training_every_weight_takes_an_8_bit_optimizer_but_never_a_4_bit_base() -> None:
    found = fit({"adapter.method": "none"}, "ibm/PowerLM-3b", 34)
    assert found.fits
    assert "training.optimizer" in keys(found)
    for free in FREE_GB:
        assert fit({"adapter.method": "none"}, LLAMA_7B, free).recipe.model.quantization == "none"


def test_without_bitsandbytes_nothing_of_it_is_proposed() -> None:
    found = fit({}, LLAMA_7B, 5, has_bitsandbytes=False)
    assert not {"model.quantization", "training.optimizer"} & set(keys(found))


def test_what_is_to_be_kept_is_kept() -> None:
    kept = ("data.max_length", "adapter.rank", "model.quantization")
    assert not set(kept) & set(keys(fit({}, LLAMA_7B, 2, keep=kept)))


def test_named_targets_are_the_persons_own_and_stay() -> None:
    found = fit({"adapter.targets": ["q_proj", "v_proj"]}, LLAMA_7B, 2)
    assert found.recipe.adapter.targets == ["q_proj", "v_proj"]


def test_an_adapter_keeps_its_strength_as_it_gets_narrower() -> None:
    for rslora in (False, True):
        found = fit({"adapter.rank": 64, "adapter.alpha": 64, "adapter.use_rslora": rslora},
                    LLAMA_7B, 1)
        adapter = found.recipe.adapter
        width = adapter.rank**0.5 if rslora else adapter.rank
        assert adapter.rank < 64
        assert adapter.alpha / width == pytest.approx(64 / (8 if rslora else 64), rel=1e-3)


def test_the_changes_come_in_the_order_of_the_steps() -> None:
    order = ["model.attention", "training.gradient_checkpointing", "training.batch_size",
             "training.optimizer", "model.dtype", "model.quantization", "data.max_length",
             "adapter.targets", "adapter.rank"]
    assert len(order) == len(STEPS)
    found = fit({"model.attention": "eager", "training.gradient_checkpointing": False,
                 "model.dtype": "float32"}, LLAMA_7B, 1)
    assert keys(found) == [key for key in order if key in keys(found)]
    assert len(keys(found)) >= 8


def test_a_shorter_length_tells_how_many_of_ones_own_examples_it_cuts() -> None:
    short = fit({"data.max_length": 8192, "training.batch_size": 1}, LLAMA_7B, 5.4)
    assert "data.max_length" in keys(short)

    def why(share: float | None) -> str:
        told = with_cut_share(short, lambda recipe: share)
        return next(change.why for change in told.changes if change.key == "data.max_length")

    assert "25 % of your examples" in why(0.25)
    assert "less than 1 % of your examples" in why(0.001)
    assert "0 % of your examples" in why(0)
    assert "your examples" not in why(None)
    asked: list[Recipe] = []
    unchanged = fit({}, "starter", 80)
    assert with_cut_share(unchanged, lambda recipe: asked.append(recipe)) is unchanged
    assert asked == []


def test_a_known_longest_example_is_counted_on() -> None:
    long = {"data.max_length": 8192}
    assert fit(long, LLAMA_7B, 20, examples=Examples(300)).changes == ()
    assert fit(long, LLAMA_7B, 20).changes


def refused(changes: dict[str, Any], model: str, card: str) -> tuple[str, ...]:
    place = place_on(find_card(card))
    recipe = Recipe().with_values(changes)
    found = make_fit(recipe, shape_of(model), place.device, place.free_bytes)
    assert not found.fits
    return what_would_fit(found, shape_of(model), place)


def test_what_cannot_fit_says_so_and_names_what_would() -> None:
    said = " ".join(refused({}, "Qwen/Qwen-14B", "RTX 3050 6 GB"))
    assert "Even with every step Qwen/Qwen-14B needs" in said
    card = smallest_card(Recipe(), shape_of("Qwen/Qwen-14B"))
    assert card is not None
    assert card.name in said
    assert "The largest usual model that fits here" in said
    assert "LoRA is the next thing" not in said


def test_every_weight_that_does_not_fit_is_told_of_lora() -> None:
    assert "QLoRA (a 4-bit base) is the next thing, and fits" in " ".join(
        refused({"adapter.method": "none"}, LLAMA_7B, "RTX 4060 8 GB"))
    assert "LoRA would not fit either" in " ".join(
        refused({"adapter.method": "none"}, "meta-llama/Llama-2-70b-hf", "RTX 4060 8 GB"))


def test_what_fits_needs_no_advice() -> None:
    place = place_on(find_card("H100"))
    found = make_fit(Recipe(), shape_of(LLAMA_7B), place.device, place.free_bytes)
    assert what_would_fit(found, shape_of(LLAMA_7B), place) == ()


def test_the_named_card_is_the_smallest_and_the_named_model_the_largest() -> None:
    shape: ModelShape = shape_of(LLAMA_7B)
    card = smallest_card(Recipe(), shape)
    assert card is not None
    for other in cards()[:cards().index(card) + 1]:
        found = make_fit(Recipe(), shape, other.device, other.free_bytes, has_bitsandbytes=True)
        assert found.fits == (other == card)
    model = largest_model(Recipe(), DEVICES[0], 6 * GB, below_parameters=shape.parameters,
                          has_bitsandbytes=True)
    assert model is not None
    assert 1000 < model.parameters_millions < 7000


def test_it_takes_a_moment_only() -> None:
    shape = shape_of("meta-llama/Llama-2-70b-hf")
    recipe = Recipe().with_values(RECIPES["long and wide"])
    before = time.thread_time()
    found = make_fit(recipe, shape, DEVICES[0], 8 * GB, has_bitsandbytes=True)
    # Processor time of this thread alone, so a busy machine does not decide.
    assert time.thread_time() - before < 0.5
    assert not found.fits


def test_it_is_plain_data_for_a_program() -> None:
    import json

    found = json.loads(json.dumps(fit({}, LLAMA_7B, 11).to_dict()))
    assert found["fits"] is True
    assert found["fitted_already"] is False
    assert found["after"]["high_bytes"] <= found["free_bytes"] < found["before"]["high_bytes"]
    assert all({"key", "old", "new", "why", "saved_bytes", "along"} == set(change)
               for change in found["changes"])
    assert Recipe.model_validate(found["recipe"]) == fit({}, LLAMA_7B, 11).recipe
