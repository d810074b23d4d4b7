"""Runs that go wrong, really trained: what they say, and what of them is kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.story import Alarm
from studio.training import stretch
from studio.training.loop import train
from studio.training.observer import Live, Observer, Observers
from tests.training.conftest import MakeRecipe


def _run(settings: Settings, recipe: Recipe, name: str = "a") -> Run:
    run = create_run(settings, recipe, name)
    train(recipe, run, lambda: False, settings=settings)
    return run


def _alarm(run: Run, kind: str) -> Alarm:
    [found] = [alarm for alarm in run.story().alarms if alarm.kind == kind]
    return found


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


class _Poison(Observer):
    """Before step `at` it makes one number of the frozen base, or of the adapter, a NaN."""

    def __init__(self, at: int, adapter: bool = False) -> None:
        self._at, self._adapter = at, adapter
        self.good: dict[str, Any] = {}

    def begin(self, live: Live) -> None:
        self._model = live.model

    def step_ended(self, step: int) -> None:
        if step == self._at - 1:
            for name, weight in self._model.named_parameters():
                if weight.requires_grad:
                    self.good[name.replace(".default", "")] = weight.detach().clone()
                if weight.requires_grad == self._adapter and name.endswith("weight"):
                    weight.data[0, ...] = math.nan
                    if self._adapter:
                        return


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Adds one who spoils the run to those who watch it."""

    def poison(at: int, adapter: bool = False) -> _Poison:
        one = _Poison(at, adapter)
        watching = stretch.observers_for
        monkeypatch.setattr(stretch, "observers_for",
                            lambda recipe: Observers([*watching(recipe).several, one]))
        return one

    return poison


def test_a_step_that_is_no_number_is_not_applied_and_the_last_good_weights_are_the_result(
    settings: Settings, make_recipe: MakeRecipe, poisoned: Any
) -> None:
    import torch

    poison = poisoned(4)
    run = _run(settings, make_recipe(training__max_steps=9, training__logging_steps=2))
    story = run.story()
    assert story.state == "stopped" and story.step == 4
    assert story.result_step == 3 and "step 3" in story.detail and "not applied" in story.detail
    alarm = _alarm(run, "not_finite")
    assert (alarm.level, alarm.step) == ("bad", 4)
    assert "loss of step 4" in alarm.text and "learning_rate" in alarm.hint
    kept = _weights(run.adapter_path)
    assert kept.keys() == poison.good.keys()
    assert all(torch.equal(kept[name], poison.good[name]) for name in kept)
    assert [path.name for path in run.checkpoints()] == ["checkpoint-4"]
    assert math.isnan(story.points[-1].loss)


def test_after_the_cause_has_gone_a_resume_leaves_the_bad_step_out(
    settings: Settings, make_recipe: MakeRecipe, poisoned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(3)
    recipe = make_recipe(training__max_steps=6)
    run = _run(settings, recipe)
    assert run.story().state == "stopped"
    monkeypatch.undo()
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    story = run.story()
    assert [point.step for point in story.points] == [1, 2, 3, 4, 5, 6]
    assert all(math.isfinite(point.loss) for point in story.points if point.step != 3)
    assert story.result_step == 6
    assert [alarm.kind for alarm in story.alarms] == ["not_finite", "guessing"]


def test_weights_that_are_no_numbers_themselves_give_way_to_the_last_checkpoint(
    settings: Settings, make_recipe: MakeRecipe, poisoned: Any
) -> None:
    import torch

    poisoned(6, adapter=True)
    run = _run(settings, make_recipe(training__max_steps=9, training__save_steps=4))
    story = run.story()
    assert story.state == "stopped" and story.result_step == 4
    assert [path.name for path in run.checkpoints()] == ["checkpoint-4"]
    kept, saved = _weights(run.adapter_path), _weights(run.checkpoints()[0])
    assert all(torch.equal(kept[name], saved[name]) for name in kept)


def test_a_run_that_is_no_number_from_the_start_leaves_nothing(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path, tiny_model: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.model.layers[0].mlp.up_proj.weight.data[3, 3] = math.nan
    model.save_pretrained(tmp_path / "broken")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "broken")
    run = _run(settings, make_recipe(model__source=str(tmp_path / "broken")))
    story = run.story()
    assert story.state == "stopped" and story.result_step is None
    assert "nothing was learned" in story.detail
    assert not run.has_adapter and run.checkpoints() == []
    assert "files may be damaged" in _alarm(run, "not_finite").hint


def test_far_too_high_a_rate_is_told_as_diverging_and_ends_the_run_if_the_person_wants(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    wild = {"training__learning_rate": 0.5, "training__max_steps": 16, "training__max_grad_norm": 0,
            "training__scheduler": "constant", "adapter__method": "none"}
    alarm = _alarm(_run(settings, make_recipe(**wild)), "diverging")
    assert alarm.level == "bad" and "2e-05 is usual" in alarm.hint
    ended = _run(settings, make_recipe(monitor__stop_on_divergence=True, **wild), "b").story()
    assert ended.state == "stopped" and ended.step < 16 and "risen" in ended.detail


def test_a_rate_too_small_to_move_anything_is_told(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = _run(settings, make_recipe(
        adapter__method="none", model__dtype="bfloat16", training__learning_rate=1e-13))
    assert "do not move" in _alarm(run, "frozen").text


def test_a_healthy_run_raises_nothing_but_that_the_model_knows_nothing_yet(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = _run(settings, make_recipe(training__max_steps=30, training__learning_rate=5e-3,
                                     data__eval_fraction=0.2, training__eval_steps=5))
    assert {alarm.kind for alarm in run.story().alarms} == {"guessing"}


def test_alarms_are_not_told_again_after_a_resume(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=12, training__warmup_ratio=0.6,
                         training__scheduler="linear")
    run = create_run(settings, recipe, "a")
    train(recipe, run, lambda: run.story().step >= 6, settings=settings)
    train(recipe, run, lambda: False, settings=settings, resume=True)
    assert sorted(alarm.kind for alarm in run.story().alarms) == ["guessing", "long_warmup"]


def test_watching_changes_no_loss(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(adapter__dropout=0.1, data__eval_fraction=0.2, training__eval_steps=2)
    watched = _run(settings, recipe)
    monkeypatch.setattr(stretch, "observers_for", lambda recipe: Observers([]))
    alone = _run(settings, recipe, "b")
    assert [p.loss for p in watched.story().points] == [p.loss for p in alone.story().points]
