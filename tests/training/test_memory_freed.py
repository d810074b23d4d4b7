"""What a run held is given back when it ends, however it ends, and before it goes on with less."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch

from studio.errors import RunError
from studio.recipe import Recipe
from studio.runs import create_run
from studio.settings import Settings
from studio.training.control import Ask, Control
from studio.training.loop import train
from tests.training.conftest import MakeRecipe


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Every base model that was really loaded, held by nobody here."""
    from studio.models import loading

    found: list[weakref.ref[Any]] = []
    real = loading.load_base

    def noticed(*args: Any, **options: Any) -> Any:
        model = real(*args, **options)
        found.append(weakref.ref(model))
        return model

    monkeypatch.setattr(loading, "load_base", noticed)
    return found


def _trainers() -> list[Any]:
    from transformers import Trainer

    return [one for one in gc.get_objects() if isinstance(one, Trainer)]


@pytest.mark.parametrize(("what", "final"), [
    ("", "done"), ("pause", "paused"), ("stop", "stopped"), ("cancel", "cancelled")])
def test_a_run_that_ended_holds_no_model_when_its_end_is_told(
    settings: Settings, make_recipe: MakeRecipe, loaded: list[weakref.ref[Any]], what: Ask,
    final: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(training__max_steps=3, data__eval_fraction=0.2)
    run = create_run(settings, recipe, "a")
    control = Control(lambda: bool(what) and run.story().step >= 1
                      and control.ask(what) is not None)
    told: list[bool] = []
    append = run.append

    def watched(type: str, **fields: Any) -> None:
        if fields.get("state") == final:
            told.append(loaded[0]() is None)
        append(type, **fields)

    monkeypatch.setattr(run, "append", watched)
    assert train(recipe, run, control, settings=settings) == final
    assert told == [True] and len(loaded) == 1
    assert _trainers() == []


def test_a_run_that_failed_holds_no_model_either(
    settings: Settings, make_recipe: MakeRecipe, loaded: list[weakref.ref[Any]],
    monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaModel

    recipe = make_recipe(training__out_of_memory="stop")
    run = create_run(settings, recipe, "a")

    def refuse(*args: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(LlamaModel, "forward", refuse)
    with pytest.raises(RunError):
        train(recipe, run, lambda: False, settings=settings)
    gc.collect()
    assert run.story().state == "failed"
    assert loaded[0]() is None and _trainers() == []


def test_before_it_goes_on_with_less_a_run_lets_go_of_the_first_attempt(
    settings: Settings, make_recipe: MakeRecipe, loaded: list[weakref.ref[Any]],
    monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaModel

    recipe: Recipe = make_recipe(training__max_steps=4, training__batch_size=4)
    run = create_run(settings, recipe, "a")
    real, seen, held = LlamaModel.forward, [], []

    def limited(model: Any, *args: Any, **options: Any) -> Any:
        output = real(model, *args, **options)
        if model.training and run.story().step == 2 and not run.story().adapted:
            held.append(weakref.ref(output.last_hidden_state))
            assert len(_trainers()) == 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if run.story().adapted and not seen:
            # The very next pass: what the second attempt is made from is tried on the model.
            seen.append((len(_trainers()), held[0]() is None))
        return output

    monkeypatch.setattr(LlamaModel, "forward", limited)
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    assert run.story().adapted["training.batch_size"] == 2
    assert seen == [(0, True)], "the first trainer, or what it computed, was still held"
    assert len(loaded) == 1, "the base model was loaded again"
