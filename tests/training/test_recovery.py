"""Memory that runs out at any place: the run goes on, with the same effective batch and curve.

The error is injected where torch would raise it; everything else is a real training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from studio.device import Device
from studio.errors import ModelError, RunError
from studio.models.shape import model_shape
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train
from studio.training.recovery import (
    adapt_after_death,
    effective_recipe,
    next_change,
    settings_that_fit,
    smaller_micro_batch,
)
from tests.training.conftest import MakeRecipe

MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB"
Patch = pytest.MonkeyPatch
QUIET = {"monitor__forgetting": False, "monitor__sample_records": 0}


def _train(settings: Settings, recipe: Recipe, name: str, *, resume: bool = False) -> Run:
    run = create_run(settings, recipe, name)
    assert train(recipe, run, lambda: False, settings=settings, resume=resume) == "done"
    return run


def _losses(run: Run) -> list[float]:
    story = run.story()
    assert [point.step for point in story.points] == list(range(1, story.total_steps + 1))
    return [point.loss for point in story.points]


def _texts(run: Run, kind: str) -> list[str]:
    return [event["text"] for event in run.events() if event["type"] == kind]


def _raise_at(monkeypatch: Patch, owner: Any, name: str, when: Callable[..., bool]) -> None:
    """`owner.name` raises torch's error whenever `when`, given its arguments, says so."""
    real = getattr(owner, name)

    def limited(*args: Any, **options: Any) -> Any:
        if when(*args, **options):
            raise torch.OutOfMemoryError(MEMORY)
        return real(*args, **options)

    monkeypatch.setattr(owner, name, limited)


def _once_at(number: int) -> Callable[..., bool]:
    """True at the call of that number, counted from 1, and never again."""
    calls = iter(range(1, 10**9))
    return lambda *args, **options: next(calls) == number


@pytest.fixture
def llama() -> Iterator[Any]:
    from transformers import LlamaModel

    yield LlamaModel


def test_the_first_forward_pass_that_does_not_fit_halves_the_micro_batch(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch, llama: Any
) -> None:
    # Checkpointing is on, so that examples are padded in rows of their own; packed rows are below.
    recipe = make_recipe(training__max_steps=5, training__optimizer="adamw_torch",
                         data__max_length=128, **QUIET)
    whole = _losses(_train(settings, recipe, "whole"))
    tokens: list[int] = []
    real = llama.forward

    def limited(model: Any, *args: Any, input_ids: Any, **options: Any) -> Any:
        if model.training:
            tokens.append(input_ids.numel())
            if input_ids.numel() > 100:
                raise torch.OutOfMemoryError(MEMORY)
        return real(model, *args, input_ids=input_ids, **options)

    monkeypatch.setattr(llama, "forward", limited)
    run = _train(settings, recipe, "a")
    assert max(tokens) > 100 and tokens[-1] <= 100
    assert _losses(run) == pytest.approx(whole, rel=1e-4)
    story = run.story()
    assert story.adapted == {"training.batch_size": 2, "training.gradient_accumulation": 2}
    [text] = _texts(run, "adapted")
    assert text == (
        "Memory ran out in step 1. Nothing was learned yet. It goes on with a micro-batch of 2 "
        "instead of 4 and 2 of them per step, so the effective batch stays 4. To avoid this, set "
        "training.batch_size to 2 and training.gradient_accumulation to 2 next time.")
    assert run.has_adapter and story.state == "done"


@pytest.mark.parametrize(("micro_batch", "step", "changes"), [
    (4, 4, {"data__packing": True, "data__max_length": 96, "training__batch_size": 2}),
    (4, 4, {"adapter__method": "none", "training__learning_rate": 1e-3}),
    # Five micro-batches an epoch: 3 and 2 of them make a step, and the twelfth lies in the fifth.
    (12, 5, {"training__gradient_accumulation": 3, "data__eval_fraction": 0.2,
             "training__eval_steps": 2}),
], ids=str)
def test_a_later_backward_pass_that_does_not_fit_loses_no_step(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch, micro_batch: int, step: int,
    changes: dict[str, Any],
) -> None:
    from accelerate import Accelerator

    recipe = make_recipe(**{"training__max_steps": 6, **QUIET, **changes})
    whole = _train(settings, recipe, "whole")
    _raise_at(monkeypatch, Accelerator, "backward", _once_at(micro_batch))
    run = _train(settings, recipe, "a")
    assert _losses(run) == pytest.approx(_losses(whole), rel=1e-4)
    # Every step was computed once: what was learned before the error was kept from memory.
    assert [event["step"] for event in run.events() if event["type"] == "log"] == [*range(1, 7)]
    assert [step for step, _ in run.story().evals] == [step for step, _ in whole.story().evals]
    [text] = _texts(run, "adapted")
    assert text.startswith(f"Memory ran out in step {step}. What was learned until step "
                           f"{step - 1} is kept. It goes on with a micro-batch of")
    half = recipe.training.batch_size // 2
    assert run.story().adapted["training.batch_size"] == half
    assert run.checkpoints()[-1].name == "checkpoint-6"


def test_dropout_goes_on_from_the_random_numbers_of_the_last_whole_step(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch
) -> None:
    """With a micro-batch of one there is nothing to halve, so checkpointing is the only change,
    which computes the same: the losses agree although dropout draws random numbers."""
    from accelerate import Accelerator

    recipe = make_recipe(training__max_steps=6, training__batch_size=1, adapter__dropout=0.3,
                         training__gradient_accumulation=3, training__logging_steps=2, **QUIET)
    whole = _train(settings, recipe, "whole")
    _raise_at(monkeypatch, Accelerator, "backward", _once_at(11))
    run = _train(settings, recipe, "a")
    found = [(point.step, point.loss) for point in run.story().points]
    expected = [(point.step, point.loss) for point in whole.story().points]
    assert [step for step, _ in found] == [2, 4, 6]
    assert [loss for _, loss in found] == pytest.approx([loss for _, loss in expected], rel=1e-5)
    assert [p.tokens for p in run.story().points] == [p.tokens for p in whole.story().points]
    assert run.story().adapted == {"training.gradient_checkpointing": True}


_BEGINNING = "so the run goes back to the beginning, since there is no checkpoint yet."


@pytest.mark.parametrize(("save_steps", "text", "logged", "method"), [
    (2, "so the run goes back to the checkpoint at step 2.", [1, 2, 3, 3, 4, 5, 6], "lora"),
    (0, _BEGINNING, [1, 2, 3, 1, 2, 3, 4, 5, 6], "lora"),
    (0, _BEGINNING, [1, 2, 3, 1, 2, 3, 4, 5, 6], "none"),
], ids=str)
def test_weights_that_may_be_half_updated_are_not_gone_on_with(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch, save_steps: int, text: str,
    logged: list[int], method: str,
) -> None:
    recipe = make_recipe(training__max_steps=6, training__save_steps=save_steps,
                         adapter__method=method, training__learning_rate=3e-3, **QUIET)
    whole = _losses(_train(settings, recipe, "whole"))
    calls = iter(range(1, 10**9))

    def spoil(optimizer: Any, *args: Any, **options: Any) -> bool:
        if next(calls) != 4:
            return False
        for weight in optimizer.param_groups[0]["params"][:2]:
            weight.data.fill_(1.0)  # what an update that broke off halfway leaves
        return True

    _raise_at(monkeypatch, torch.optim.AdamW, "step", spoil)
    run = _train(settings, recipe, "a")
    assert _losses(run) == pytest.approx(whole, rel=1e-4)
    assert [event["step"] for event in run.events() if event["type"] == "log"] == logged
    [told] = _texts(run, "adapted")
    assert "The optimizer was at work and may have changed a part of the weights" in told
    assert text in told


def test_the_ladder_goes_down_step_by_step_until_it_fits(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch, llama: Any
) -> None:
    recipe = make_recipe(training__max_steps=3, training__out_of_memory="shorten",
                         data__max_length=128, data__loss_on="all", **QUIET)

    def is_too_much(model: Any, *args: Any, input_ids: Any, **options: Any) -> bool:
        return model.training and (input_ids.numel() > 64 or not model.gradient_checkpointing)

    _raise_at(monkeypatch, llama, "forward", is_too_much)
    long = "pizza " * 60
    source = settings.home / "long.jsonl"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(f'{{"text": "{long}"}}\n' * 8, encoding="utf-8")
    run = _train(settings, recipe.with_values({"data.source": str(source)}), "a")
    changes = [event["changes"] for event in run.events() if event["type"] == "adapted"]
    assert changes == [
        {"training.batch_size": 2, "training.gradient_accumulation": 2},
        {"training.batch_size": 1, "training.gradient_accumulation": 4},
        {"training.gradient_checkpointing": True}, {"data.max_length": 64}]
    assert run.story().state == "done" and len(run.story().points) == 3


def test_where_nothing_is_left_to_change_the_run_fails_with_what_would_fit(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch, llama: Any
) -> None:
    recipe = make_recipe(training__max_steps=3, training__batch_size=2, **QUIET)
    _raise_at(monkeypatch, llama, "forward",
              lambda model, *args, **options: model.training)
    run = create_run(settings, recipe, "a")
    with pytest.raises(RunError, match="not enough for step 1, even with a micro-batch of 1 and "
                                       "gradient checkpointing") as caught:
        train(recipe, run, lambda: False, settings=settings)
    assert "Close other programs" in caught.value.hint
    assert run.story().state == "failed"
    assert len(_texts(run, "adapted")) == 2


def test_stop_fails_at_once_and_keeps_the_last_whole_step(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch
) -> None:
    from accelerate import Accelerator

    recipe = make_recipe(training__max_steps=4, training__out_of_memory="stop", **QUIET)
    with monkeypatch.context() as patch:
        _raise_at(patch, Accelerator, "backward", _once_at(3))
        run = create_run(settings, recipe, "a")
        with pytest.raises(RunError, match="not enough for step 3, and"):
            train(recipe, run, lambda: False, settings=settings)
    assert [path.name for path in run.checkpoints()] == ["checkpoint-2"]
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    assert len(_losses(run)) == 4


def test_a_resume_keeps_what_memory_forced_the_run_to_change(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch, llama: Any
) -> None:
    recipe = make_recipe(training__max_steps=5, training__save_steps=1, **QUIET)
    whole = _losses(_train(settings, recipe, "whole"))
    with monkeypatch.context() as patch:
        from accelerate import Accelerator

        _raise_at(patch, Accelerator, "backward", _once_at(2))
        run = create_run(settings, recipe, "a")
        train(recipe, run, lambda: run.story().step >= 3, settings=settings)
    assert run.story().state == "stopped" and run.recipe == recipe
    assert effective_recipe(run, recipe).training.batch_size == 2
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    assert _losses(run) == pytest.approx(whole, rel=1e-4)
    assert len(_texts(run, "adapted")) == 1
    in_checkpoint = Run(run.checkpoints()[-1]).recipe
    assert in_checkpoint.training.batch_size == 2


def test_an_evaluation_takes_fewer_examples_at_once_and_is_left_out_at_worst(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch, llama: Any
) -> None:
    recipe = make_recipe(training__max_steps=4, data__eval_fraction=0.3, training__eval_steps=2,
                         data__packing=False, training__gradient_checkpointing=True, **QUIET)
    whole = _train(settings, recipe, "whole")
    room = {"tokens": 100}
    _raise_at(monkeypatch, llama, "forward", lambda model, *args, input_ids, **options: (
        not torch.is_grad_enabled() and input_ids.numel() > room["tokens"]))
    run = _train(settings, recipe, "fewer")
    assert _losses(run) == _losses(whole)
    assert [loss for _, loss in run.story().evals] == pytest.approx(
        [loss for _, loss in whole.story().evals], rel=1e-5)
    assert next(text for text in _texts(run, "note") if "held-out" in text) == (
        "Memory ran out while measuring the held-out part; from now on 2 of its examples are "
        "measured at once.")
    room["tokens"] = 20
    run = _train(settings, recipe, "none")
    assert _losses(run) == _losses(whole) and run.story().evals == ()
    assert "even one example at a time: this evaluation is left out" in _texts(run, "note")[-1]


def test_an_observer_without_room_is_left_out_and_changes_nothing(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch
) -> None:
    from transformers import LlamaForCausalLM

    recipe = make_recipe(training__max_steps=3, adapter__dropout=0.2, monitor__forgetting=False,
                         monitor__sample_prompts=["1 pizza"], monitor__sample_steps=1)
    whole = _losses(_train(settings, recipe.with_values({"monitor.sample_prompts": []}), "whole"))
    _raise_at(monkeypatch, LlamaForCausalLM, "forward",
              lambda *args, past_key_values=None, **options: past_key_values is not None)
    run = _train(settings, recipe, "a")
    assert _losses(run) == whole
    assert ("Memory ran out for the sample prompts, which is left out; the training goes on."
            in _texts(run, "note"))


def test_memory_that_runs_out_while_loading_is_told_as_that(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: Patch
) -> None:
    from transformers import LlamaForCausalLM

    _raise_at(monkeypatch, LlamaForCausalLM, "__init__", lambda *args, **options: True)
    run = create_run(settings, make_recipe(**QUIET), "a")
    with pytest.raises(ModelError, match="tiny-llama does not fit into the memory of"):
        train(run.recipe, run, lambda: False, settings=settings)


@pytest.mark.parametrize(("batch", "effective", "smaller"), [
    (4, 16, 2), (6, 6, 3), (5, 10, 2), (3, 9, 1), (7, 7, 1), (1, 8, None), (4096, 4096 * 8, 2048),
    (2, 8192, None),
])
def test_a_smaller_micro_batch_divides_the_effective_batch(
    batch: int, effective: int, smaller: int | None
) -> None:
    assert smaller_micro_batch(batch, effective) == smaller


def test_examples_are_made_shorter_only_where_the_recipe_allows_it(
    make_recipe: MakeRecipe
) -> None:
    def change(tokens: int = 1000, **values: Any) -> dict[str, Any] | None:
        found = next_change(make_recipe(training__batch_size=1, data__max_length=2048, **values),
                            is_checkpointing=True, longest_tokens=tokens)
        return found.values if found else None

    assert change() is None
    assert change(training__out_of_memory="shorten") == {"data.max_length": 500}
    assert change(tokens=80, training__out_of_memory="shorten") == {"data.max_length": 64}
    assert change(tokens=80, training__out_of_memory="stop") is None


@pytest.mark.parametrize(("method", "words"), [
    ("sft", "examples of at most 500 tokens instead of 2,048; longer ones are cut"),
    ("pretrain", "rows of text of at most 500 tokens instead of 2,048; longer ones are divided"),
])
def test_what_shorter_means_is_said_for_the_method(
    make_recipe: MakeRecipe, method: str, words: str
) -> None:
    recipe = make_recipe(training__batch_size=1, data__max_length=2048, training__method=method,
                         training__out_of_memory="shorten")
    found = next_change(recipe, is_checkpointing=True, longest_tokens=1000)
    assert found is not None and found.what.startswith(words)


def test_a_run_whose_process_the_system_ended_needs_less_at_the_next_resume(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = create_run(settings, make_recipe(training__batch_size=2), "a")
    assert adapt_after_death(run) and adapt_after_death(run)
    assert run.story().adapted == {
        "training.batch_size": 1, "training.gradient_accumulation": 2,
        "training.gradient_checkpointing": True}
    assert not adapt_after_death(run)
    assert "The system ended the training's process" in _texts(run, "adapted")[0]


@pytest.mark.parametrize("was_on", [True, False])
def test_what_the_training_told_says_whether_checkpointing_is_left_to_try(
    settings: Settings, make_recipe: MakeRecipe, was_on: bool
) -> None:
    wanted = "auto" if was_on else False
    run = create_run(settings, make_recipe(
        training__batch_size=1, training__gradient_checkpointing=wanted), "a")
    run.append("plan", total_steps=3, start_step=0, checkpointing=was_on,
               choices=[f"Gradient checkpointing {'on' if was_on else 'off'}, as asked."])
    assert adapt_after_death(run) is not was_on
    assert run.story().adapted == ({} if was_on else {"training.gradient_checkpointing": True})


def test_the_advice_names_settings_that_fit(settings: Settings, tiny_model: Any) -> None:
    recipe = Recipe().with_values({"model.source": str(tiny_model)})
    shape = model_shape(str(tiny_model), settings)
    card = Device("cuda", "a card", "bfloat16", 8 * 2**30)
    assert "Close other programs that use a card" in settings_that_fit(
        recipe, shape, card, 8 * 2**30)
    assert settings_that_fit(recipe, shape, card, 10 * 2**20)
