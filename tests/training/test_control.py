"""Pause, stop and cancel, asked at every stage of a real training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from studio.errors import RunError
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.control import Ask, Control, leave_request, request_end, what_is_asked
from studio.training.loop import train
from tests.training.conftest import MakeRecipe, losses_of

BEFORE_TRAINING = ("preparing", "tokenising", "loading")
AT_WORK: dict[str, Callable[[Run], bool]] = {
    "training": lambda run: len(_of(run, "log")) >= 1,
    "evaluating": lambda run: _state(run) == "evaluating",
}


def _of(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["type"] == kind]


def _state(run: Run) -> str:
    return next((event["state"] for event in reversed(run.events()) if event["type"] == "state"),
                "")


def _asked_when(run: Run, what: Ask, when: Callable[[Run], bool]) -> Control:
    """A control that is asked from within, as soon as the run is where `when` says."""
    control = Control(lambda: when(run) and control.ask(what) is not None)
    return control


def _train_and_ask(settings: Settings, recipe: Recipe, what: Ask, when: Callable[[Run], bool],
                   name: str = "a") -> Run:
    run = create_run(settings, recipe, name)
    final = train(recipe, run, _asked_when(run, what, when), settings=settings)
    assert final == run.story().state
    assert not (run.path / "asked.json").exists()
    return run


@pytest.mark.parametrize("place", BEFORE_TRAINING)
@pytest.mark.parametrize(("what", "final"), [
    ("pause", "paused"), ("stop", "stopped"), ("cancel", "cancelled")])
def test_before_the_first_step_each_wish_is_obeyed_in_the_stage_where_it_is_asked(
    settings: Settings, make_recipe: MakeRecipe, place: str, what: Ask, final: str
) -> None:
    run = _train_and_ask(settings, make_recipe(), what, lambda run: _state(run) == place)
    assert run.story().state == final and not run.has_adapter and not run.checkpoints()
    states = [event["state"] for event in _of(run, "state")]
    assert states[-2] == place and _of(run, "plan") == []
    assert [event["what"] for event in _of(run, "asked")] == [what]


@pytest.mark.parametrize("place", AT_WORK)
@pytest.mark.parametrize(("what", "final"), [
    ("pause", "paused"), ("stop", "stopped"), ("cancel", "cancelled")])
def test_at_work_each_wish_is_obeyed_within_one_micro_batch_and_keeps_what_it_says(
    settings: Settings, make_recipe: MakeRecipe, place: str, what: Ask, final: str
) -> None:
    recipe = make_recipe(training__max_steps=30, training__batch_size=2, data__eval_fraction=0.3,
                         training__gradient_accumulation=4, training__eval_steps=2)
    run = _train_and_ask(settings, recipe, what, AT_WORK[place])
    story = run.story()
    kinds = [event["type"] for event in run.events()]
    logged_before = kinds[:kinds.index("asked")].count("log")
    assert story.state == final and story.step == logged_before == kinds.count("log")
    assert (run.path / "recipe.yaml").is_file() and story.asked == ""
    assert run.has_adapter == (what == "stop")
    kept = [path.name for path in run.checkpoints()]
    assert kept == ([] if what == "cancel" else [f"checkpoint-{story.step}"])
    assert _of(run, "eval") == []


@pytest.mark.parametrize("place", AT_WORK)
def test_a_paused_run_goes_on_to_the_very_losses_and_evaluations_of_an_uninterrupted_one(
    settings: Settings, make_recipe: MakeRecipe, place: str
) -> None:
    recipe = make_recipe(training__max_steps=4, training__batch_size=2, adapter__dropout=0.2,
                         training__gradient_accumulation=3, training__eval_steps=2,
                         data__eval_fraction=0.2)
    whole = create_run(settings, recipe, "whole")
    train(recipe, whole, lambda: False, settings=settings)
    run = _train_and_ask(settings, recipe, "pause", AT_WORK[place])
    assert run.story().state == "paused" and run.story().step == (1 if place == "training" else 2)
    assert train(recipe, run, Control(), settings=settings, resume=True) == "done"
    assert losses_of(run) == losses_of(whole) and run.story().evals == whole.story().evals
    assert [step for step, _ in run.story().evals] == [2, 4]


def test_answers_are_broken_off_between_two_tokens_and_begun_anew_when_the_run_goes_on(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    calls = 0

    def tenth_token(run: Run) -> bool:
        nonlocal calls
        calls += bool(_of(run, "log"))  # the untrained model is asked after the first step
        return calls == 10

    recipe = make_recipe(training__max_steps=2, training__gradient_accumulation=2,
                         monitor__sample_prompts=["2 tea"], monitor__sample_tokens=300)
    run = _train_and_ask(settings, recipe, "pause", tenth_token)
    assert calls < 20, "it went on for more than a token"
    assert run.story().state == "paused" and run.story().step == 1 and not _of(run, "samples")
    train(recipe, run, Control(), settings=settings, resume=True)
    assert [event["step"] for event in _of(run, "samples")] == [0, 2]


def test_a_save_that_has_begun_is_finished_and_a_cancel_comes_after_it(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    def saving(run: Run) -> bool:
        return _state(run) == "saving"

    recipe = make_recipe(training__max_steps=2)
    paused = _train_and_ask(settings, recipe, "pause", saving, "paused")
    assert paused.story().state == "done" and paused.has_adapter
    cancelled = _train_and_ask(settings, recipe, "cancel", saving, "cancelled")
    assert cancelled.story().state == "cancelled"
    assert not cancelled.adapter_path.exists() and not cancelled.checkpoint_path.exists()


def test_a_cancelled_run_cannot_go_on_and_says_what_to_do(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = _train_and_ask(settings, make_recipe(), "cancel", AT_WORK["training"])
    with pytest.raises(RunError, match="was cancelled") as caught:
        train(run.recipe, run, Control(), settings=settings, resume=True)
    assert "new run with its recipe" in caught.value.hint


def test_a_stronger_wish_replaces_a_weaker_one_and_never_the_other_way() -> None:
    control = Control()
    assert not control() and what_is_asked(control) == ""
    wishes: tuple[Ask, ...] = ("pause", "stop", "pause", "cancel", "stop")
    assert [(control.ask(what), control.asked)[1] for what in wishes] == [
        "pause", "stop", "stop", "cancel", "cancel"]
    assert control() and what_is_asked(control) == "cancel"
    assert what_is_asked(lambda: True) == "stop" and what_is_asked(lambda: False) == ""


def test_what_is_asked_is_told_at_once_and_reads_as_a_state_of_its_own(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = create_run(settings, make_recipe(), "a")
    control = Control()
    control.ask("pause")
    assert run.events() == []
    with run.owned():
        run.append("state", state="training", detail="")
        with control.attending(run):
            assert run.story().state == "pausing" and run.story().is_active
            control.ask("stop")
            control.ask("stop")
            assert run.story().state == "stopping"
    assert [event["what"] for event in _of(run, "asked")] == ["pause", "stop"]


def test_another_process_asks_through_the_folder_and_is_told_when_nobody_is_there(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(training__max_steps=100_000)
    run = create_run(settings, recipe, "a")
    with pytest.raises(RunError, match="not being trained right now; it is queued"):
        request_end(run, "pause")
    leave_request(run, "cancel")  # of an earlier process, which did not live to see it
    thread = threading.Thread(target=train, args=(recipe, run, lambda: False),
                              kwargs={"settings": settings})
    thread.start()
    other = Run(run.path)
    while other.story().step < 1:
        assert thread.is_alive()
        time.sleep(0.01)
    request_end(other, "pause")
    thread.join()
    assert other.story().state == "paused" and not (run.path / "asked.json").exists()
