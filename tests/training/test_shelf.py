"""A base kept between runs: the same losses to the bit, clean, and given up in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from studio.arbiter import Arbiter, Holder
from studio.device import Device, pick_device
from studio.errors import StudioError
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training import shelf as shelves
from studio.training.job import JobRunner
from studio.training.loop import train
from studio.training.shelf import BaseKey, Shelf
from tests.training.conftest import MakeRecipe

CPU = Device("cpu", "CPU", "float32", 16 * 10**9)
KEPT = "still in memory"


def _train(settings: Settings, recipe: Recipe, shelf: Shelf | None, name: str) -> Run:
    run = create_run(settings, recipe, name)
    train(recipe, run, lambda: False, settings=settings, shelf=shelf)
    return run


def _was_reused(run: Run) -> bool:
    return any(KEPT in event.get("text", "") for event in run.events())


def _losses(run: Run) -> list[float]:
    return [point.loss for point in run.story().points]


def _learned(run: Run) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    found: dict[str, torch.Tensor] = load_file(run.adapter_path / "adapter_model.safetensors")
    return found


def _as_on_disk(model: Any, folder: Path) -> bool:
    """The same weights to the bit, and nothing that a run has hung on it."""
    from transformers import AutoModelForCausalLM

    from studio.models.loading import _in_one_piece

    fresh = AutoModelForCausalLM.from_pretrained(folder, dtype=model.dtype)
    loaded, kept = fresh.state_dict(), model.state_dict()
    hooks = [hook for module in model.modules()
             for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
             if hook is not _in_one_piece]  # which every base is loaded with
    return (loaded.keys() == kept.keys() and not hooks and not model.training
            and "forward" not in vars(model)
            and model.config.to_dict().items() >= fresh.config.to_dict().items()
            and model.config._attn_implementation == fresh.config._attn_implementation
            and all(torch.equal(loaded[name], kept[name]) for name in loaded))


def _kept(shelf: Shelf) -> Any:
    return shelf._model


def test_runs_on_a_kept_base_learn_the_same_to_the_bit(
    settings: Settings, make_recipe: MakeRecipe, tiny_model: Path
) -> None:
    recipe = make_recipe(adapter__dropout=0.1, data__eval_fraction=0.2)
    shelf = Shelf()
    alone = _train(settings, recipe, None, "alone")
    first = _train(settings, recipe, shelf, "first")
    _train(settings, make_recipe(training__seed=7, data__packing=True), shelf, "between")
    again = _train(settings, recipe, shelf, "again")

    assert not _was_reused(alone) and not _was_reused(first) and _was_reused(again)
    assert _losses(alone) == _losses(first) == _losses(again)
    weights, others = _learned(alone), _learned(again)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert _as_on_disk(_kept(shelf), tiny_model)


@pytest.mark.parametrize("adapter", [
    {"adapter__use_dora": True, "adapter__init": "gaussian"},
    {"adapter__modules_to_save": ["lm_head"]},
    {"adapter__method": "adalora", "training__max_steps": 12},
    {"adapter__method": "vera"}, {"adapter__method": "ia3"},
    {"adapter__method": "oft", "adapter__block_size": 32},
    {"adapter__method": "prompt_tuning"}, {"adapter__method": "prefix_tuning"},
], ids=lambda adapter: "-".join(str(value) for value in adapter.values()))
def test_no_adapter_changes_the_base_that_is_kept(
    settings: Settings, make_recipe: MakeRecipe, tiny_model: Path, adapter: dict[str, Any]
) -> None:
    shelf = Shelf()
    _train(settings, make_recipe(**{"training__max_steps": 2} | adapter), shelf, "a")
    assert _as_on_disk(_kept(shelf), tiny_model)


@pytest.mark.parametrize("values", [
    {"adapter__method": "none", "training__learning_rate": 1e-4}, {"adapter__bias": "all"},
    {"adapter__init": "pissa"}, {"adapter__init": "olora"}, {"speed__reuse": False},
], ids=lambda values: "-".join(str(value) for value in values.values()))
def test_a_base_that_a_run_may_change_is_not_kept(
    settings: Settings, make_recipe: MakeRecipe, values: dict[str, Any]
) -> None:
    shelf = Shelf()
    _train(settings, make_recipe(training__max_steps=1, **values), shelf, "a")
    assert shelf.is_empty


def test_checkpointing_leaves_nothing_on_the_kept_base(
    settings: Settings, make_recipe: MakeRecipe, tiny_model: Path
) -> None:
    recipe = make_recipe(training__max_steps=2, training__gradient_checkpointing=True)
    shelf = Shelf()
    _train(settings, recipe, shelf, "a")
    assert _as_on_disk(_kept(shelf), tiny_model)


def test_a_run_that_breaks_off_leaves_nothing_behind(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    _train(settings, make_recipe(training__max_steps=1), shelf, "good")
    assert not shelf.is_empty
    with monkeypatch.context() as patch:
        patch.setattr("studio.training.stretch.make_setup", _breaks)
        with pytest.raises(StudioError):
            _train(settings, make_recipe(), shelf, "broken")
    assert shelf.is_empty


def _breaks(*_: Any, **__: Any) -> Any:
    raise StudioError("Something broke.", "Mend it.")


def test_a_run_that_ran_out_of_memory_keeps_no_model(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.training.methods.supervised import SupervisedMixin

    real = SupervisedMixin.compute_loss

    def limited(self: Any, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        if self.args.per_device_train_batch_size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(self, model, inputs, *args, **options)

    monkeypatch.setattr(SupervisedMixin, "compute_loss", limited)
    shelf = Shelf()
    run = _train(settings, make_recipe(training__max_steps=2), shelf, "a")
    assert run.story().state == "done" and run.story().adapted
    assert shelf.is_empty


def test_a_stopped_run_leaves_its_base_for_the_next(
    settings: Settings, make_recipe: MakeRecipe, tiny_model: Path
) -> None:
    shelf = Shelf()
    recipe = make_recipe(training__max_steps=50)
    run = create_run(settings, recipe, "a")
    state = train(recipe, run, lambda: run.story().step >= 2, settings=settings, shelf=shelf)
    assert state == "stopped" and _as_on_disk(_kept(shelf), tiny_model)


def test_another_model_or_number_format_is_loaded_anew(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    shelf = Shelf()
    _train(settings, make_recipe(training__max_steps=1), shelf, "a")
    other = _train(settings, make_recipe(training__max_steps=1, model__dtype="bfloat16"), shelf,
                   "b")
    assert not _was_reused(other)
    assert _kept(shelf).dtype == torch.bfloat16


def _key(name: str) -> BaseKey:
    return BaseKey(((name, 1, 1),), "float32", "auto", False, "cpu")


def test_a_kept_model_is_taken_once_and_any_other_is_given_up() -> None:
    shelf, model = Shelf(), torch.nn.Linear(2, 2)
    shelf.put(_key("a"), model, CPU)
    assert shelf.take(_key("a")) is model
    assert shelf.is_empty and shelf.take(_key("a")) is None
    shelf.put(_key("a"), model, CPU)
    assert shelf.take(_key("b")) is None and shelf.is_empty


def _hour() -> Callable[[], float]:
    times = iter([0.0, 0.5 * shelves.KEPT_SECONDS, 2 * shelves.KEPT_SECONDS])
    return lambda: next(times)


def test_a_model_that_no_run_asks_for_is_given_up_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Shelf, "_give_up_in_time", lambda self: None)  # asked by hand here
    shelf = Shelf(clock=_hour())
    shelf.put(_key("a"), torch.nn.Linear(2, 2), CPU)
    shelf.give_up_if_due()
    assert not shelf.is_empty
    shelf.give_up_if_due()
    assert shelf.is_empty


def test_a_model_is_given_up_where_others_need_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf = Shelf()
    shelf.put(_key("a"), torch.nn.Linear(2, 2), CPU)
    monkeypatch.setattr(shelves, "free_device_bytes", lambda device: device.total_bytes // 20)
    shelf.give_up_if_due()
    assert shelf.is_empty


def test_the_next_job_reuses_the_base_and_whoever_else_takes_the_device_frees_it(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    arbiter = Arbiter()
    jobs = JobRunner(settings, arbiter)
    recipe = make_recipe(training__max_steps=1)
    jobs.start(recipe, "a")
    jobs.wait()
    second = jobs.start(recipe, "b")
    jobs.wait()
    assert _was_reused(second)
    with arbiter.held(Holder("The chat", "Close it.")):
        assert jobs._shelf.is_empty
    third = jobs.start(recipe, "c")
    jobs.wait()
    assert third.story().state == "done" and not _was_reused(third)
    assert pick_device().kind != "cpu" or not jobs._shelf.is_empty
